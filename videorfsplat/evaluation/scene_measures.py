"""What is measured of a generated scene: text, 3D consistency, cameras, features for realism."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.data.worlds.captions import UNMENTIONED
from videorfsplat.evaluation.attributes import score_attributes
from videorfsplat.evaluation.camera_motion import camera_motion
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.generated_scenes import GeneratedScenes
from videorfsplat.evaluation.image_quality import psnr, ssim
from videorfsplat.evaluation.measurements import Measurement, Measurements
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.rasterization import rasterize


def measure_scenes(scenes: GeneratedScenes) -> Measurements:
    """Measure every scene once.

    Records hold `attributes` and `frame_attributes` (the probe's score on renders of the Gaussians
    and on decoded views), `stated_motion` (None if the prompt names none) and `motion`,
    `source_psnr` (renders against the decoded views they were made from), `consistency_psnr` and
    `consistency_ssim` (`held_out_views`), `direction_residual` and `rotation_error_degrees` of the
    ray fit. Features are `renders` and `frames`.

    Args:
        scenes: with generated cameras.
    """
    evaluation = scenes.evaluation
    measured = Measurements(evaluation.output / "measured" / scenes.name, evaluation.origin)
    measured.complete(scenes.indices, lambda index: _measure_scene(scenes, index))
    return measured


def render_views(gaussians: Gaussians, cameras: Cameras) -> Float[Tensor, "v 3 H W"]:
    """Renders on black, as views in [0, 1]."""
    renders, _, _ = rasterize(gaussians, cameras.to(gaussians.means.device))
    return renders.permute(0, 3, 1, 2).clamp(0, 1)


def held_out_views(
    evaluation: Evaluation, latents: Float[Tensor, "1 c v h w"], cameras: Cameras
) -> Float[Tensor, "o 3 H W"]:
    """Every second view, rendered from Gaussians that the others alone gave.

    Views are counted from 0: Gaussians come from the even ones, the odd ones are rendered.
    """
    (gaussians,) = evaluation.pipeline.decode_gaussians(latents[:, :, 0::2], [cameras[0::2]])
    return render_views(gaussians, cameras[1::2])


@torch.no_grad()
def _measure_scene(scenes: GeneratedScenes, index: int) -> Measurement:
    evaluation, prompt = scenes.evaluation, scenes.prompts[index]
    latents, fit = scenes.latents(index), scenes.ray_fit(index)
    frames = scenes.frames(index)
    (gaussians,) = evaluation.pipeline.decode_gaussians(latents, [fit.cameras])
    renders = render_views(gaussians, fit.cameras)
    held_out = held_out_views(evaluation, latents, fit.cameras)
    record = {
        **_scores(evaluation, prompt.mentions, renders, frames),
        "source_psnr": float(psnr(renders, frames).mean()),
        "consistency_psnr": float(psnr(held_out, frames[1::2]).mean()),
        "consistency_ssim": float(ssim(held_out, frames[1::2]).mean()),
        "motion": camera_motion(fit.cameras),
        "direction_residual": fit.direction_residual,
        "rotation_error_degrees": fit.rotation_error_degrees,
    }
    features = evaluation.view_features("renders", renders)
    return record, features | evaluation.view_features("frames", frames)


def _scores(
    evaluation: Evaluation, mentions: dict[str, Any], renders: Tensor, frames: Tensor
) -> dict[str, Any]:
    (seen,), (seen_in_frames,) = (evaluation.probe.read(v[None]) for v in (renders, frames))
    stated = mentions.get("motion", UNMENTIONED)
    return {
        "attributes": score_attributes(mentions, seen),
        "frame_attributes": score_attributes(mentions, seen_in_frames),
        "stated_motion": None if stated == UNMENTIONED else stated,
    }
