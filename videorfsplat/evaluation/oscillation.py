"""How the cameras that a run predicts move from step to step (paper, figure 3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.measurements import Measurement, Measurements
from videorfsplat.evaluation.prompts import Prompt
from videorfsplat.geometry.cameras import Cameras, camera_errors
from videorfsplat.pipeline_output import DenoisingStep
from videorfsplat.sampling.settings import Sampling

STEP_ERRORS = ("change_degrees", "change_distance", "final_degrees", "final_distance")
"""Mean over views of the rotation and the way between the cameras that a step predicts and those of
the step before (`change`; 0 in the first step) or of the last step (`final`)."""


def measure_oscillation(
    evaluation: Evaluation, prompts: Sequence[Prompt], sampling: Sampling
) -> dict[str, list[float]]:
    """Of each step: `t_image` and `t_pose` at its start, and the median over prompts of each error.

    Args:
        evaluation: with the model.
        prompts: what to generate; the noise is that of the other suites.
        sampling: how.
    """
    by_index = {prompt.index: prompt for prompt in prompts}

    def measure(index: int) -> Measurement:
        return {"steps": _predicted_cameras(evaluation, by_index[index], sampling)}, {}

    folder = evaluation.output / "measured" / f"oscillation-{sampling.name}"
    measured = Measurements(folder, evaluation.latents_origin)
    measured.complete(list(by_index), measure)
    paths = [record["steps"] for record in measured.records(list(by_index))]
    times = {name: [step[name] for step in paths[0]] for name in ("t_image", "t_pose")}
    errors = {
        name: np.median([[step[name] for step in path] for path in paths], axis=0).tolist()
        for name in STEP_ERRORS
    }
    return times | errors


def _predicted_cameras(
    evaluation: Evaluation, prompt: Prompt, sampling: Sampling
) -> list[dict[str, float]]:
    pipeline, size = evaluation.pipeline, (evaluation.size, evaluation.size)
    table = pipeline.make_timetable(sampling.num_inference_steps, sampling.pose_offset)
    cameras: list[Cameras] = []
    stream = pipeline.stream(
        prompt.text,
        generator=torch.Generator().manual_seed(prompt.noise_seed),
        output_type="latent",
        **vars(sampling),
    )
    for item in stream:
        if isinstance(item, DenoisingStep):
            (fit,) = pipeline.recover_cameras(item.predicted_pose_latents, *size)
            cameras.append(fit.cameras)
    steps: list[dict[str, Any]] = []
    for index, (step, predicted) in enumerate(zip(table.steps(), cameras, strict=True)):
        errors = {
            "change": _differences(predicted, cameras[max(index - 1, 0)]),
            "final": _differences(predicted, cameras[-1]),
        }
        named = {f"{kind}_{unit}": value for kind, d in errors.items() for unit, value in d.items()}
        steps.append({"t_image": step.t_image, "t_pose": step.t_pose, **named})
    return steps


def _differences(cameras: Cameras, reference: Cameras) -> dict[str, float]:
    # Lengths count as they are: how far the cameras reach is part of what is predicted.
    errors = camera_errors(cameras, reference, align_scale=False)
    return {
        "degrees": float(errors.rotation_degrees.mean()),
        "distance": float(errors.center_distances.mean()),
    }
