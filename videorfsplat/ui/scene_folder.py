"""What the page reads of a scene folder, without loading the scene."""

import html
import json
from pathlib import Path
from typing import Any

from videorfsplat.ui.depth_pictures import write_depth_pictures
from videorfsplat.ui.frame_strip import frame_strip
from videorfsplat.ui.page_files import file_url

SPLATS_NAME = "scene.compressed.ply"
"""What the viewer shows: small, and quickly read."""


def read_cameras(folder: Path) -> dict[str, Any]:
    """Contents of the folder's `transforms.json`."""
    return json.loads((folder / "transforms.json").read_bytes())


def read_scene_record(folder: Path) -> dict[str, Any]:
    """Contents of the folder's `scene.json`."""
    return json.loads((folder / "scene.json").read_bytes())


def frames_of(folder: Path) -> str:
    """The folder's sentence, frames and depths as HTML."""
    prompt = read_scene_record(folder)["record"]["settings"]["prompt"]
    frames = [file_url(path) for path in sorted((folder / "frames").glob("*.png"))]
    depths = [file_url(path) for path in write_depth_pictures(folder)]
    caption = f'<p class="caption">{html.escape(prompt)}</p>'
    return caption + frame_strip(frames, depths)


def record_table(description: dict[str, Any]) -> str:
    """The record of a run as HTML.

    Args:
        description: contents of a `scene.json`.
    """
    record, settings = description["record"], description["record"]["settings"]
    seconds = record["seconds"]
    trajectory = settings["trajectory"]
    residual = record["cameras_residual"]
    rows = {
        "Prompt": settings["prompt"],
        "Seed": record["seed"],
        "Steps": _steps(settings),
        "δ": f"{settings['pose_offset']:+.2f}",
        "Guidance": f"images {settings['guidance_scale']:g}, "
        f"cameras {settings['pose_guidance_scale']:g}, "
        f"cameras → images {settings['camera_guidance_scale']:g}",
        "Cameras": f"generated, ray residual {residual:.4f}"
        if residual is not None
        else f"given: {Path(trajectory).name if trajectory else 'file'}",
        "Gaussians": f"{description['num_gaussians']:,}",
        "Views": f"{description['num_views']} of {description['width']}×{description['height']}",
        "Seconds": ", ".join(f"{stage} {value:.1f}" for stage, value in seconds.items()),
        "Peak memory": f"{record['peak_memory_mb']:,.0f} MB",
        "Device": record["device"],
        "Model": Path(settings["model"]).name,
        "Versions": ", ".join(f"{name} {value}" for name, value in record["versions"].items()),
    }
    lines = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in rows.items()
    )
    return f'<dl class="record">{lines}</dl>'


def _steps(settings: dict[str, Any]) -> str:
    steps = str(settings["num_inference_steps"])
    # Records of earlier versions do not have it.
    return f"{steps}, few-step variant" if settings.get("few_step") else steps
