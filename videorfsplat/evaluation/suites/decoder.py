"""Suite `decoder`: Gaussians from the latents of real views."""

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.data.worlds.dataset import WorldsDataset
from videorfsplat.evaluation.bootstrap import ratio_figure
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.image_quality import psnr, ssim
from videorfsplat.evaluation.measurements import Measurement, Measurements
from videorfsplat.evaluation.prompts import noise_seed
from videorfsplat.evaluation.real_scenes import prompted_worlds
from videorfsplat.evaluation.scene_measures import held_out_views, render_views
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.geometry.cameras import Cameras, camera_errors

CAMERA_SOURCES = ("true", "raymap", "estimated")
"""True cameras, those fitted to their raymap as in a generation, those estimated from the views."""


def evaluate(evaluation: Evaluation) -> SuiteResult:
    """PSNR and SSIM of source and novel views, for each source of cameras."""
    worlds = prompted_worlds(evaluation, evaluation.settings.prompts)
    measured = Measurements(evaluation.output / "measured" / "decoder", evaluation.origin)
    measured.complete(evaluation.indices, lambda index: _measure(evaluation, worlds, index))
    records = measured.records(evaluation.indices)
    names = [name for name in records[0] if name != "index"]
    report = {name: ratio_figure([(record[name], 1.0) for record in records]) for name in names}
    metrics = {
        "decoder_source_psnr": report["true_source_psnr"]["value"],
        "decoder_novel_psnr": report["true_novel_psnr"]["value"],
    }
    return SuiteResult({"scenes": len(records), **report}, metrics)


@torch.no_grad()
def _measure(evaluation: Evaluation, worlds: WorldsDataset, index: int) -> Measurement:
    pipeline, true = evaluation.pipeline, worlds.cameras(index)
    frames = worlds.frames(index).to(pipeline.device).float() / 255
    novel = worlds.novel_frames(index).to(pipeline.device).float() / 255
    latents = pipeline.encode_frames(frames[None])
    record: dict[str, float] = {}
    for source in CAMERA_SOURCES:
        cameras = _cameras(evaluation, source, frames, true, index)
        (gaussians,) = pipeline.decode_gaussians(latents, [cameras])
        # Estimated cameras have their own unit of length.
        scale = camera_errors(cameras, true).scale
        novel_cameras = worlds.novel_cameras(index).scaled(1 / scale)
        views = {
            "source": (render_views(gaussians, cameras), frames),
            "novel": (render_views(gaussians, novel_cameras), novel),
        }
        for kind, (renders, reference) in views.items():
            record[f"{source}_{kind}_psnr"] = float(psnr(renders, reference).mean())
            record[f"{source}_{kind}_ssim"] = float(ssim(renders, reference).mean())
    decoded = pipeline.decode_frames(latents)[0]
    held_out = held_out_views(evaluation, latents, true)
    record["consistency_psnr"] = float(psnr(held_out, decoded[1::2]).mean())
    return record, {}


def _cameras(
    evaluation: Evaluation,
    source: str,
    frames: Float[Tensor, "v 3 H W"],
    true: Cameras,
    index: int,
) -> Cameras:
    pipeline, size = evaluation.pipeline, (evaluation.size, evaluation.size)
    if source == "true":
        return true
    if source == "raymap":
        return pipeline.recover_cameras(pipeline.encode_cameras([true], *size), *size)[0].cameras
    noise = torch.Generator().manual_seed(noise_seed(evaluation.settings.seed, index))
    return pipeline.estimate_cameras(frames[None], generator=noise)[0].cameras
