"""Renderings of held-out worlds, and what probe and autoencoder make of them."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from videorfsplat.data.worlds.dataset import WorldsDataset, write_worlds
from videorfsplat.evaluation.attributes import score_attributes
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.image_quality import psnr, ssim
from videorfsplat.evaluation.measurements import Measurement, Measurements
from videorfsplat.evaluation.prompts import held_out_prompts, reference_seed, world_seed

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
