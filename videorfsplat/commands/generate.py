"""`generate`: a sentence becomes a scene folder."""

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from videorfsplat.commands import Command, table
from videorfsplat.generation_settings import GenerationSettings, find_model
from videorfsplat.run_record import StageClock, peak_memory_mb

_DESCRIPTION = (
    "Make a 3D Gaussian scene from a sentence. The folder gets scene.ply, transforms.json, "
    "frames/, depths.safetensors, scene.json and preview.mp4."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    default = {field.name: field.default for field in fields(GenerationSettings)}
    parser.add_argument("prompt", help="what the scene shows")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")

    def option(name: str, setting: str, kind: type, text: str) -> None:
        parser.add_argument(
            name,
            dest=setting,
            type=kind,
            default=default[setting],
            metavar=name.lstrip("-").split("-")[-1].upper(),
            help=text if default[setting] is None else f"{text} (default: {default[setting]})",
        )

    option("--seed", "seed", int, "of the noise")
    option("--steps", "num_inference_steps", int, "denoising steps")
    option("--pose-offset", "pose_offset", float, "δ: lead of cameras over images, -1 to 1")
    option("--guidance-scale", "guidance_scale", float, "text → images; 1 is off")
    option("--pose-guidance-scale", "pose_guidance_scale", float, "text → cameras; 1 is off")
    option("--camera-guidance-scale", "camera_guidance_scale", float, "cameras → images; 1 is off")
    option("--trajectory", "trajectory", str, "a preset such as orbit_left, or a transforms.json")
    option("--model", "model", str, "mini, the folder of a saved pipeline, or a hub id")
    parser.add_argument("--device", default="auto", help="torch device (default: auto)")
    parser.add_argument("--no-video", action="store_true", help="write no preview.mp4")


def _run(args: argparse.Namespace) -> dict[str, Any]:
    clock = StageClock()
    settings = GenerationSettings(
        **{field.name: getattr(args, field.name) for field in fields(GenerationSettings)}
    )
    find_model(settings.model)
    if args.output.exists() and not args.output.is_dir():
        raise ValueError(f"{args.output} is a file, expected a folder")
    if settings.trajectory is not None:
        from videorfsplat.camera_paths import load_camera_path

        load_camera_path(settings.trajectory)
    return _generate(settings, args, clock)


def _generate(
    settings: GenerationSettings, args: argparse.Namespace, clock: StageClock
) -> dict[str, Any]:
    from videorfsplat.formats.video import save_video
    from videorfsplat.generation import generate_scene, load_pipeline
    from videorfsplat.preview import preview_cameras, render_frames
    from videorfsplat.scene import PREVIEW_NAME

    pipeline = load_pipeline(settings.model, args.device)
    clock.lap("load")
    scene = generate_scene(pipeline, settings)
    clock.skip()
    film = None
    if not args.no_video:
        gaussians = scene.gaussians.to(pipeline.device)
        film = render_frames(gaussians, preview_cameras(scene.cameras))
        clock.lap("preview")
    stages = _merge_seconds(scene.record["seconds"], clock.seconds())
    record = scene.record | {"seconds": stages, "peak_memory_mb": peak_memory_mb()}
    replace(scene, record=record).save(args.output)
    if film is not None:
        save_video(film, args.output / PREVIEW_NAME)
    clock.lap("save")
    return {
        "scene": str(args.output),
        "num_gaussians": len(scene.gaussians),
        "seconds": _merge_seconds(scene.record["seconds"], clock.seconds()),
        "peak_memory_mb": peak_memory_mb(),
        "seed": settings.seed,
        "settings": record["settings"],
        "cameras_residual": record["cameras_residual"],
    }


def _merge_seconds(*parts: dict[str, float]) -> dict[str, float]:
    """Stages of all parts in the order in which they run, and one total."""
    stages = {k: v for part in parts for k, v in part.items() if k != "total"}
    order = ("load", "text", "denoise", "decode", "render", "preview", "save")
    ordered = {stage: stages[stage] for stage in order if stage in stages}
    return ordered | {"total": round(sum(stages.values()), 3)}


def _describe(report: dict[str, Any]) -> str:
    seconds = ", ".join(f"{stage} {value:.1f}" for stage, value in report["seconds"].items())
    residual = report["cameras_residual"]
    return table(
        {
            "scene": report["scene"],
            "Gaussians": f"{report['num_gaussians']:,}",
            "seconds": seconds,
            "peak memory": f"{report['peak_memory_mb']:.0f} MB",
            "cameras": "given" if residual is None else f"generated, ray residual {residual:.4f}",
        }
    )


main = Command("videorfsplat generate", _DESCRIPTION, _add_arguments, _run, _describe).main
