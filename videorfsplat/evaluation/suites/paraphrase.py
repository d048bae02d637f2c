"""Suite `paraphrase`: the same worlds and noise, in sentence patterns that no caption uses."""

from videorfsplat.evaluation.bootstrap import Figure
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.prompts import WORDINGS, held_out_prompts
from videorfsplat.evaluation.scene_figures import scene_differences, scene_figures
from videorfsplat.evaluation.scene_measures import measure_scenes
from videorfsplat.evaluation.suites import SuiteResult


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """Figures of paraphrases, and how far they are from those of captions."""
    settings = evaluation.settings
    records = {}
    for wording in WORDINGS:
        prompts = held_out_prompts(settings.prompts, settings.seed, wording)
        scenes = GeneratedScenes(evaluation, wording, prompts, settings.sampling)
        records[wording] = measure_scenes(scenes).records(scenes.indices)
    differences = scene_differences(records["paraphrases"], records["captions"])
    report = {
        "scenes": settings.prompts,
        "figures": scene_figures(records["paraphrases"]),
        "minus_captions": differences,
    }
    metrics = {
        "paraphrase_loss": _points_lost(differences["attributes"]),
        "paraphrase_kind_loss": _points_lost(differences["kind"]),
    }
    return SuiteResult(report, metrics)


def _points_lost(difference: Figure) -> float | None:
    """In points: hundredths of the share."""
    change = difference["value"]
    return None if change is None else 0.0 - 100 * change
