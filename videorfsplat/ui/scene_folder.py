"""What the page reads and shows of a scene folder, without loading the scene."""

import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from videorfsplat.geometry.view_colors import VIEW_COLORS
from videorfsplat.ui.page_files import file_url

if TYPE_CHECKING:
    from videorfsplat.geometry.gaussians import Gaussians

SPLATS_NAME = "scene.compressed.ply"
"""What the viewer shows: small, and quickly read."""

POINTS_NAME = "points.json"
"""Some of the scene's Gaussians, for the plot of its cameras."""

_MOST_POINTS = 500
# Of a sentence that becomes the name of a file: what it is about, not how it is filmed.
_NAME_WORDS = 5
_SMALL_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "at",
        "by",
        "in",
        "is",
        "it",
        "its",
        "of",
        "on",
        "the",
        "to",
        "with",
        "under",
    ]
)

# From far to near, evenly spaced in inverse depth.
_COLORS = np.array(
    [(22, 20, 48), (62, 40, 116), (138, 52, 128), (214, 84, 96), (250, 156, 92), (255, 240, 190)],
    dtype=float,
)
# The farthest and nearest hundredth of the pixels do not decide the range.
_RANGE_PERCENT = (1.0, 99.0)

NO_FRAMES = '<ol class="frame-strip" aria-label="Frames"></ol>'

_ON_LOAD = """
element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-camera]');
    if (!button) return;
    const detail = { viewer: VIEWER, camera: Number(button.dataset.camera) };
    document.dispatchEvent(new CustomEvent('goto-camera', { detail }));
});
document.addEventListener('viewer-message', ({ detail }) => {
    if (detail.viewer !== VIEWER || detail.message.type !== 'cameraSelected') return;
    for (const button of element.querySelectorAll('button[data-camera]')) {
        const isChosen = Number(button.dataset.camera) === detail.message.camera;
        button.setAttribute('aria-pressed', String(isChosen));
    }
});
"""


def read_cameras(folder: Path) -> dict[str, Any]:
    """Contents of the folder's `transforms.json`."""
    return json.loads((folder / "transforms.json").read_bytes())


def read_scene_record(folder: Path) -> dict[str, Any]:
    """Contents of the folder's `scene.json`."""
    return json.loads((folder / "scene.json").read_bytes())


def frames_of(folder: Path) -> str:
    """The folder's sentence, frames and depths as HTML."""
    record = read_scene_record(folder)["record"]
    about = _about(folder, record)
    frames = [file_url(path) for path in sorted((folder / "frames").glob("*.png"))]
    depths = [file_url(path) for path in write_depth_pictures(folder)]
    caption = (
        f'<div class="caption" data-about="{html.escape(json.dumps(about))}">'
        f"<p>{html.escape(about['prompt'])}</p>"
        '<button type="button" data-use>Use this sentence</button>'
        '<button type="button" data-depth aria-pressed="false">Depth</button>'
        f"{_drawn_as(record)}</div>"
    )
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
    return f'<details><summary>Run record</summary><dl class="record">{lines}</dl></details>'


def _steps(settings: dict[str, Any]) -> str:
    steps = str(settings["num_inference_steps"])
    # Records of earlier versions do not have it.
    return f"{steps}, few-step variant" if settings.get("few_step") else steps


def on_load(viewer: str) -> str:
    """Script of the component: a frame shows its camera in that viewer, which marks it."""
    return f"const VIEWER = {json.dumps(viewer)};{_ON_LOAD}"


def frame_strip(frames: Sequence[str], depths: Sequence[str] = ()) -> str:
    """The row as HTML.

    Args:
        frames: addresses of V pictures.
        depths: addresses of V depth pictures, or none.

    Raises:
        ValueError: if there are depths, but not V.
    """
    if depths and len(depths) != len(frames):
        raise ValueError(f"expected {len(frames)} depth pictures, got {len(depths)}")
    items = []
    for index, frame in enumerate(frames):
        color = VIEW_COLORS[index % len(VIEW_COLORS)]
        depth = f'<img class="depth" src="{depths[index]}" alt="Its depth"/>' if depths else ""
        items.append(
            f'<li style="--view: {color}"><button type="button" data-camera="{index}" '
            f'aria-pressed="false" title="Show the scene from camera {index + 1}">'
            f'<img src="{frame}" alt="View {index + 1}"/>{depth}'
            f'<span class="number">{index + 1}</span></button></li>'
        )
    return f'<ol class="frame-strip" aria-label="Frames">{"".join(items)}</ol>'


def color_depths(depths: np.ndarray) -> np.ndarray:
    """Pictures of depths, on one scale for all views.

    Args:
        depths: [V,H,W], along the camera's z axis; 0 where nothing is seen, which is shown as far.

    Returns:
        uint8 of shape [V,H,W,3].
    """
    is_seen = np.isfinite(depths) & (depths > 0)
    inverse = np.divide(1.0, depths, out=np.zeros(depths.shape), where=is_seen)
    low, high = np.percentile(inverse[is_seen], _RANGE_PERCENT) if is_seen.any() else (0.0, 1.0)
    nearness = np.clip((inverse - low) / max(high - low, 1e-9), 0, 1)
    places = np.linspace(0, 1, len(_COLORS))
    channels = [np.interp(nearness, places, _COLORS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def write_depth_pictures(folder: Path) -> list[Path]:
    """Write `depth/000.png`, … beside the frames of a scene folder, if it has depths.

    Pictures that are there already are kept; a packed scene has nothing else.
    """
    source = folder / "depths.safetensors"
    pictures = sorted((folder / "depth").glob("*.png"))
    if pictures or not source.is_file():
        return pictures
    (folder / "depth").mkdir()
    paths = []
    for index, picture in enumerate(color_depths(load_file(source)["depths"][..., 0])):
        paths.append(folder / "depth" / f"{index:03d}.png")
        Image.fromarray(picture).save(paths[-1])
    return paths


def write_points(gaussians: "Gaussians", folder: Path) -> None:
    """Write the points of the folder's plot: Gaussians that are there to be seen, evenly chosen."""
    seen = (gaussians.opacities > 0.5).nonzero()[:, 0]
    chosen = seen[:: max(1, len(seen) // _MOST_POINTS)][:_MOST_POINTS]
    colors = (0.5 + 0.28209479 * gaussians.sh[chosen, 0]).clamp(0, 1) * 255
    rows = [
        [*(round(value, 3) for value in mean), *(round(value) for value in color)]
        for mean, color in zip(gaussians.means[chosen].tolist(), colors.tolist(), strict=True)
    ]
    (folder / POINTS_NAME).write_text(json.dumps(rows, separators=(",", ":")), encoding="utf-8")


def read_points(folder: Path) -> list[list[float]]:
    """Rows of x, y, z, red, green, blue; none if the folder has no points."""
    path = folder / POINTS_NAME
    return json.loads(path.read_bytes()) if path.is_file() else []


def file_stem(settings: dict[str, Any]) -> str:
    """A name for the files of a scene, from its sentence and seed: `red-house-blue-roof-seed7`."""
    about = re.split(r",|\bcamera\b", settings["prompt"].lower())[0]
    words = [word for word in re.findall(r"[a-z0-9]+", about) if word not in _SMALL_WORDS]
    return "-".join([*words[:_NAME_WORDS], f"seed{settings['seed']}"])


def _drawn_as(record: dict[str, Any]) -> str:
    """The caption that the model was given for a prompt, and what it says otherwise."""
    completion = record.get("completion")
    if not completion:
        return ""
    notes = " ".join(html.escape(note) for note in completion["notes"])
    caption = html.escape(completion["caption"])
    return f'<div class="drawn-as">Drawn as: {caption} {notes}</div>'


def _about(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What the page's scripts need to know of a scene."""
    settings = record["settings"]
    return {
        "scene": folder.name,
        "prompt": settings["prompt"],
        "seed": settings["seed"],
        "picture": file_url(middle_frame(folder)),
        "filled": (record.get("completion") or {}).get("filled", {}),
    }


def middle_frame(folder: Path) -> Path:
    """The picture of the camera at which the viewer opens."""
    frames = sorted((folder / "frames").glob("*.png"))
    return frames[(len(frames) - 1) // 2]


def choice_of(folders: Sequence[Path], count: int) -> str:
    """Scenes of one sentence to choose from, as HTML; nothing where there is no choice.

    Args:
        folders: of the scenes made so far; the first is shown.
        count: how many there will be.
    """
    if count < 2:
        return ""
    items = []
    for index in range(count):
        if index >= len(folders):
            items.append('<li><span class="coming" aria-label="being made"></span></li>')
            continue
        about = _about(folders[index], read_scene_record(folders[index])["record"])
        pressed = "true" if index == 0 else "false"
        items.append(
            f'<li><button type="button" data-scene="{about["scene"]}" aria-pressed="{pressed}" '
            f'data-about="{html.escape(json.dumps(about))}">'
            f'<img src="{about["picture"]}" alt="Scene {index + 1}, seed {about["seed"]}"/>'
            "</button></li>"
        )
    return f'<ol class="picks" aria-label="Scenes to choose from">{"".join(items)}</ol>'


def comparison_table(folders: Sequence[Path]) -> str:
    """What two scenes differ in, side by side, as HTML."""
    records = [read_scene_record(folder)["record"] for folder in folders]
    rows: dict[str, list[str]] = {}
    for record in records:
        settings = record["settings"]
        for name, value in (
            ("Sentence", settings["prompt"]),
            ("Seed", str(record["seed"])),
            ("Steps", _steps(settings)),
            ("δ", f"{settings['pose_offset']:+.2f}"),
            ("Seconds", f"{record['seconds']['total']:.1f}"),
        ):
            rows.setdefault(name, []).append(html.escape(value))
    lines = "".join(
        f'<tr{" class=differs" if len(set(values)) > 1 else ""}><th scope="row">{name}</th>'
        + "".join(f"<td>{value}</td>" for value in values)
        + "</tr>"
        for name, values in rows.items()
    )
    keep = "".join(
        f'<td><button type="button" data-keep="{folder.name}">Keep this one</button></td>'
        for folder in folders
    )
    return (
        '<table class="comparison"><thead><tr><td></td><th scope="col">A</th>'
        f'<th scope="col">B</th></tr></thead><tbody>{lines}<tr><td></td>{keep}</tr></tbody></table>'
    )
