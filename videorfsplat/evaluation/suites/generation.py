"""Suite `generation`: scenes from held-out captions at default settings."""

from collections.abc import Sequence
from typing import Any

from videorfsplat.evaluation.attributes import shares_by_attribute
from videorfsplat.evaluation.bootstrap import Figure
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.measurements import Measurements
from videorfsplat.evaluation.prompts import held_out_prompts
from videorfsplat.evaluation.real_scenes import measure_real_scenes, reference_features
from videorfsplat.evaluation.scene_figures import frechet_figure, of_ceiling, scene_figures
from videorfsplat.evaluation.scene_measures import measure_scenes
from videorfsplat.evaluation.suites import SuiteResult


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """Text, realism, 3D consistency and cameras."""
    settings, indices = evaluation.settings, evaluation.indices
    prompts = held_out_prompts(settings.prompts, settings.seed)
    scenes = GeneratedScenes(evaluation, "captions", prompts, settings.sampling)
    measured, measured_real = measure_scenes(scenes), measure_real_scenes(evaluation)
    records, real = measured.records(indices), measured_real.records(indices)
    realism = {
        space: _realism(evaluation, space, measured, measured_real, indices)
        for space in ("probe", "imagenet")
    }
    figures = scene_figures(records)
    ceiling = of_ceiling(records, real)
    report = {
        "scenes": len(records),
        "sampling": vars(scenes.sampling),
        **figures,
        "attributes_of_ceiling": ceiling,
        "by_attribute": _by_attribute(records),
        "ceiling_by_attribute": _by_attribute(real),
        "frechet": realism,
    }
    metrics = {
        "consistency_psnr": figures["consistency_psnr"]["value"],
        "attributes_of_ceiling": ceiling["value"],
        "kind": figures["kind"]["value"],
        "motion_direction": figures["motion_direction"]["value"],
        "cameras_fitted": figures["cameras_fitted"]["value"],
        "probe_fd_ratio": _over_reconstructions(realism["probe"]),
    }
    return SuiteResult(report, metrics)


def _realism(
    evaluation: Evaluation,
    space: str,
    measured: Measurements,
    measured_real: Measurements,
    indices: Sequence[int],
) -> dict[str, Figure]:
    """Fréchet distances to reference scenes, all between sets of one size.

    `floor` is the distance of real scenes, `reconstructions` that of the autoencoder's versions of
    them. Both are the worlds that the prompts speak of, as the generated scenes should be.
    """
    reference = reference_features(evaluation, space, indices)
    sets = {
        "renders": measured.features(f"{space}_renders", indices),
        "frames": measured.features(f"{space}_frames", indices),
        "reconstructions": measured_real.features(f"{space}_reconstructed", indices),
        "floor": measured_real.features(f"{space}_real", indices),
    }
    return {name: frechet_figure(features, reference) for name, features in sets.items()}


def _over_reconstructions(distances: dict[str, Figure]) -> float | None:
    made, reconstructed = distances["renders"]["value"], distances["reconstructions"]["value"]
    return made / reconstructed if made is not None and reconstructed else None


def _by_attribute(records: Sequence[dict[str, Any]]) -> dict[str, float]:
    return shares_by_attribute(record["attributes"] for record in records)
