"""Suite `given-cameras`: generate along given cameras, then estimate them back from the views."""

import statistics
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.evaluation.bootstrap import Figure, ratio_figure
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.measurements import Measurement, Measurements
from videorfsplat.evaluation.prompts import held_out_prompts, noise_seed
from videorfsplat.evaluation.real_scenes import prompted_worlds
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.geometry.cameras import Cameras, camera_errors

_ERRORS = ("rotation_degrees", "center_distance", "focal_error")


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """Errors of the cameras estimated from generated views, and from real views as their floor.

    The cameras are those of the worlds that the prompts describe.
    """
    settings = evaluation.settings
    worlds = prompted_worlds(evaluation, settings.prompts)
    cameras = [worlds.cameras(index) for index in evaluation.indices]
    prompts = held_out_prompts(settings.prompts, settings.seed)
    scenes = GeneratedScenes(evaluation, "given-cameras", prompts, settings.sampling, cameras)

    def measure(index: int) -> Measurement:
        views = {
            "generated": scenes.frames(index),
            "real": worlds.frames(index).to(evaluation.pipeline.device).float() / 255,
        }
        errors = {
            name: _errors_of_estimate(evaluation, frames, cameras[index], index)
            for name, frames in views.items()
        }
        return errors, {}

    measured = Measurements(evaluation.output / "measured" / scenes.name, evaluation.origin)
    measured.complete(evaluation.indices, measure)
    records = measured.records(evaluation.indices)
    report = {
        name: _summary([record[name] for record in records]) for name in ("generated", "real")
    }
    metrics = {
        "given_cameras_rotation_degrees": report["generated"]["rotation_degrees"]["value"],
        "given_cameras_center_distance": report["generated"]["center_distance"]["value"],
    }
    return SuiteResult({"scenes": len(records), **report}, metrics)


def _errors_of_estimate(
    evaluation: Evaluation, frames: Float[Tensor, "v 3 H W"], given: Cameras, index: int
) -> dict[str, float]:
    """Mean errors over the views after the first, which is the frame of both.

    The model is not told the prompt, which may name the motion. Distances are in scene units, after
    both paths were brought to one extent.
    """
    noise = torch.Generator().manual_seed(noise_seed(evaluation.settings.seed, index))
    (fit,) = evaluation.pipeline.estimate_cameras(frames[None], generator=noise)
    errors = camera_errors(fit.cameras.to("cpu"), given)
    return {
        "rotation_degrees": float(errors.rotation_degrees[1:].mean()),
        "center_distance": float(errors.center_distances[1:].mean()),
        "focal_error": float((errors.focal_ratios - 1).abs().mean()),
    }


def _summary(errors: list[dict[str, float]]) -> dict[str, Any]:
    """Mean of each error with its interval, and the median, which outliers do not move."""
    means: dict[str, Figure] = {
        name: ratio_figure([(error[name], 1.0) for error in errors]) for name in _ERRORS
    }
    medians = {name: statistics.median(error[name] for error in errors) for name in _ERRORS}
    return {**means, "medians": medians}
