"""Suites on prompts alone: `generation`, `paraphrase`, `speed`."""

import statistics
from collections.abc import Sequence
from typing import Any

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.figures import (
    Figure,
    frechet_figure,
    of_ceiling,
    scene_differences,
    scene_figures,
)
from videorfsplat.evaluation.generated_scenes import GeneratedScenes, Measurements
from videorfsplat.evaluation.measures import shares_by_attribute
from videorfsplat.evaluation.prompts import WORDINGS, held_out_prompts
from videorfsplat.evaluation.scene_measures import (
    measure_real_scenes,
    measure_scenes,
    reference_features,
)
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.generation.generate import time_scene
from videorfsplat.generation.settings import GenerationSettings


def evaluate_generation(evaluation: Evaluation) -> SuiteResult:
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


def evaluate_paraphrase(evaluation: Evaluation) -> SuiteResult:
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


_TIMED_GENERATIONS = 3


def evaluate_speed(evaluation: Evaluation) -> SuiteResult:
    """Seconds from the sentence to the .ply file, the model being loaded and warm."""
    prompt = held_out_prompts(1, evaluation.settings.seed)[0].text
    asked = evaluation.settings
    settings = GenerationSettings(
        prompt, model=asked.model, few_step=asked.few_step, **vars(asked.sampling)
    )
    runs = [time_scene(evaluation.pipeline, settings) for _ in range(1 + _TIMED_GENERATIONS)]
    seconds = [stages["total"] for _, stages in runs[1:]]
    name = "seconds_few_step" if asked.few_step else "seconds_default"
    return SuiteResult({"seconds": seconds}, {name: statistics.median(seconds)})
