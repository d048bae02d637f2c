"""Suites on worlds whose views and cameras are known: `autoencoder`, `decoder`, `given-cameras`."""

import statistics
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.data.worlds.dataset import WorldsDataset
from videorfsplat.evaluation.evaluation import Evaluation
from videorfsplat.evaluation.figures import Figure, of_ceiling, ratio_figure
from videorfsplat.evaluation.generated_scenes import GeneratedScenes, Measurement, Measurements
from videorfsplat.evaluation.measures import psnr, ssim
from videorfsplat.evaluation.prompts import held_out_prompts, noise_seed
from videorfsplat.evaluation.scene_measures import (
    held_out_views,
    measure_real_scenes,
    prompted_worlds,
    render_views,
)
from videorfsplat.evaluation.suites import SuiteResult
from videorfsplat.geometry.cameras import Cameras, camera_errors


def evaluate_autoencoder(evaluation: Evaluation) -> SuiteResult:
    """PSNR and SSIM of reconstructions, and what of the attributes they keep."""
    records = measure_real_scenes(evaluation).records(evaluation.indices)
    quality = {
        name: ratio_figure([(record[name], 1.0) for record in records]) for name in ("psnr", "ssim")
    }
    reconstructed = [{"attributes": record["reconstructed_attributes"]} for record in records]
    report = {
        "scenes": len(records),
        **quality,
        "attributes_of_ceiling": of_ceiling(reconstructed, records),
    }
    return SuiteResult(report, {"autoencoder_psnr": quality["psnr"]["value"]})


CAMERA_SOURCES = ("true", "raymap", "estimated")
"""True cameras, those fitted to their raymap as in a generation, those estimated from the views."""


def evaluate_decoder(evaluation: Evaluation) -> SuiteResult:
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


_ERRORS = ("rotation_degrees", "center_distance", "focal_error")


def evaluate_given_cameras(evaluation: Evaluation) -> SuiteResult:
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
