"""Measuring scenes: generated ones, and worlds, whose views are the ceiling."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.data.worlds.caption_words import (
    UNMENTIONED,
)
from videorfsplat.data.worlds.dataset import WorldsDataset, write_worlds
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.generated_scenes import GeneratedScenes, Measurement, Measurements
from videorfsplat.evaluation.measures import camera_motion, psnr, score_attributes, ssim
from videorfsplat.evaluation.prompts import held_out_prompts, reference_seed, world_seed
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


NOVEL_VIEWS = 4
# Shards of one size at fixed seeds: asking for more scenes adds shards and leaves the others.
_SCENES_PER_SHARD = 16


def prompted_worlds(evaluation: Evaluation, count: int) -> WorldsDataset:
    """The worlds that the prompts describe, with novel views; scene i is that of prompt i."""
    return _worlds(
        evaluation, "prompted", world_seed(evaluation.settings.seed, 0), count, NOVEL_VIEWS
    )


def reference_worlds(evaluation: Evaluation, count: int) -> WorldsDataset:
    """Worlds that no prompt describes: the reference of Fréchet distances."""
    return _worlds(evaluation, "reference", reference_seed(evaluation.settings.seed, 0), count, 0)


def measure_real_scenes(evaluation: Evaluation) -> Measurements:
    """The prompts' worlds as rendered and as the autoencoder gives them back.

    Records hold `attributes` (the probe's score on the rendered views, the ceiling of every score),
    `reconstructed_attributes`, and `psnr` and `ssim` of the reconstructions. Features are `real`
    and `reconstructed`.
    """
    worlds = prompted_worlds(evaluation, evaluation.settings.prompts)
    prompts = held_out_prompts(evaluation.settings.prompts, evaluation.settings.seed)
    pipeline, probe = evaluation.pipeline, evaluation.probe

    def measure(index: int) -> Measurement:
        frames = _unit_frames(worlds.frames(index)).to(pipeline.device)
        decoded = pipeline.decode_frames(pipeline.encode_frames(frames[None]))[0]
        seen, seen_decoded = (probe.read(views[None])[0] for views in (frames, decoded))
        record = {
            "attributes": score_attributes(prompts[index].mentions, seen),
            "reconstructed_attributes": score_attributes(prompts[index].mentions, seen_decoded),
            "psnr": float(psnr(decoded, frames).mean()),
            "ssim": float(ssim(decoded, frames).mean()),
        }
        features = evaluation.view_features("real", frames)
        return record, features | evaluation.view_features("reconstructed", decoded)

    measured = Measurements(evaluation.output / "measured" / "real", _origin(evaluation))
    measured.complete(evaluation.indices, measure)
    return measured


def reference_features(
    evaluation: Evaluation, name: str, indices: Sequence[int]
) -> list[Float[Tensor, "v d"]]:
    """`probe` or `imagenet` features of as many reference scenes."""
    worlds = reference_worlds(evaluation, len(indices))

    def measure(index: int) -> Measurement:
        frames = _unit_frames(worlds.frames(index)).to(evaluation.pipeline.device)
        return {}, evaluation.view_features("real", frames)

    # Neither the model nor how it computes has a part in these.
    decisive = ("probe", "seed", "views", "size")
    origin = {name: _origin(evaluation)[name] for name in decisive}
    measured = Measurements(evaluation.output / "measured" / "reference", origin)
    measured.complete(range(len(indices)), measure)
    return measured.features(f"{name}_real", range(len(indices)))


def _worlds(
    evaluation: Evaluation, name: str, first_seed: int, count: int, novel_views: int
) -> WorldsDataset:
    size, views = evaluation.size, evaluation.num_views
    seed = evaluation.settings.seed
    folder = evaluation.output / "worlds" / f"{name}-seed{seed}-{views}views-{size}pixels"
    shards = -(-count // _SCENES_PER_SHARD)
    write_worlds(
        folder,
        first_seed,
        shards * _SCENES_PER_SHARD,
        num_views=views,
        size=size,
        extra_views=novel_views,
        captions_per_scene=1,
        scenes_per_shard=_SCENES_PER_SHARD,
    )
    return WorldsDataset(folder)


def _unit_frames(frames: Tensor) -> Float[Tensor, "v 3 H W"]:
    return frames.float() / 255


def _origin(evaluation: Evaluation) -> dict[str, Any]:
    return {**evaluation.origin, "views": evaluation.num_views, "size": evaluation.size}
