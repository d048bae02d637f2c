"""The files that a scene can be had in: what they are, and making them."""

import html
import logging
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from videorfsplat.formats.axes import Axes
from videorfsplat.formats.video import save_video
from videorfsplat.generation.camera_paths import framed_by_scene
from videorfsplat.generation.preview import preview_cameras, render_frames
from videorfsplat.geometry.trajectories import TRAJECTORIES, trajectory
from videorfsplat.ui.packed_scene import load_packed_scene
from videorfsplat.ui.page_files import file_url
from videorfsplat.ui.scene_folder import SPLATS_NAME

logger = logging.getLogger(__name__)

AXES: tuple[str, ...] = get_args(Axes)


@dataclass(frozen=True)
class Download:
    """A file that a scene can be had in."""

    file_name: str
    title: str
    purpose: str


DOWNLOADS: tuple[Download, ...] = (
    Download("scene.ply", "PLY", "standard 3DGS layout, full precision, degree 0 of colour"),
    Download(SPLATS_NAME, "Compressed PLY", "SuperSplat, PlayCanvas"),
    Download("scene.spz", "SPZ", "Niantic, Spark; +y up as the format has it"),
    Download("scene.sog", "SOG", "smallest, PlayCanvas"),
    Download("scene.splat", "SPLAT", "web viewers"),
    Download("transforms.json", "Cameras, nerfstudio", "camera→world, OpenGL camera axes"),
    Download("scene-colmap.zip", "Cameras, COLMAP", "with frames, to train 3DGS"),
    Download("cameras.tum", "Cameras, TUM", "centres and quaternions"),
    Download("cameras.npz", "Cameras, NumPy", "matrices"),
    Download("scene.glb", "GLB", "points and camera frustums, +y up; Blender"),
    Download("film.mp4", "Film", "there and back along the cameras"),
    Download("scene.html", "One HTML file", "the viewer with this scene, works offline"),
    Download("scene.json", "Run record", "settings, seed, seconds, versions"),
)
"""In the order of the page."""


def make_download(folder: Path, file_name: str, axes: Axes = "opencv") -> Path:
    """Make one of `DOWNLOADS` from a scene folder, unless it was made before.

    Args:
        folder: a scene folder.
        file_name: of one of `DOWNLOADS`.
        axes: world axes of splats and cameras.

    Raises:
        ValueError: if the name is unknown.
    """
    if file_name not in {download.file_name for download in DOWNLOADS}:
        raise ValueError(
            f"unknown file {file_name!r}; there are "
            f"{', '.join(download.file_name for download in DOWNLOADS)}"
        )
    if axes not in AXES:
        raise ValueError(f"axes must be one of {', '.join(AXES)}, got {axes!r}")
    if file_name == "scene.json":
        return folder / file_name
    path = folder / "files" / axes / file_name
    if path.is_file():
        return path
    scene = load_packed_scene(folder)
    if file_name == "film.mp4":
        save_video(render_frames(scene.gaussians, preview_cameras(scene.cameras)), path)
    else:
        scene.export(path, axes=axes)
    return path


def make_film(folder: Path, path_name: str | None, seconds: float = 6.0) -> Path:
    """A film of a scene.

    Args:
        folder: a scene folder.
        path_name: a preset path, or `None` for the scene's own cameras, there and back.
        seconds: its length, at 24 pictures a second.

    Raises:
        ValueError: if the path is unknown.
    """
    path = folder / "files" / f"film-{path_name or 'cameras'}.mp4"
    if path_name in (None, *TRAJECTORIES) and path.is_file():
        return path
    scene = load_packed_scene(folder)
    cameras, count = scene.cameras, round(24 * seconds)
    if path_name is not None:
        size = {"width": cameras.width, "height": cameras.height}
        preset = trajectory(path_name, num_views=cameras.num_views, **size)
        cameras = framed_by_scene(preset, cameras, float(scene.record.get("unit", 1.0)))
    film = render_frames(scene.gaussians, preview_cameras(cameras, count))
    save_video(film, path)
    return path


def film_player(path: Path) -> str:
    """A film to look at and to save, as HTML."""
    return (
        f'<div class="film"><video controls loop muted playsinline src="{file_url(path)}"></video>'
        f'<a href="{file_url(path)}" download="{path.name}">Save the film '
        f"({format_size(path.stat().st_size)})</a></div>"
    )


def downloads_list(folder: Path, axes: Axes = "opencv") -> Generator[str]:
    """Make all downloads in turn; after each, the list as HTML so far."""
    made: dict[str, Path | None] = {}
    for download in DOWNLOADS:
        yield _list(made)
        try:
            made[download.file_name] = make_download(folder, download.file_name, axes)
        except Exception:
            # One format is no reason to keep the others from the person, who is told.
            logger.exception("%s: %s could not be made", folder.name, download.file_name)
            made[download.file_name] = None
    yield _list(made)


def format_size(num_bytes: int) -> str:
    """A file's size in the unit that fits."""
    if num_bytes < 1000:
        return f"{num_bytes} B"
    if num_bytes < 1_000_000:
        return f"{num_bytes / 1000:.0f} kB"
    return f"{num_bytes / 1_000_000:.1f} MB"


def _list(made: dict[str, Path | None]) -> str:
    return f'<ul class="downloads">{"".join(_row(d, made) for d in DOWNLOADS)}</ul>'


def _row(download: Download, made: dict[str, Path | None]) -> str:
    text = (
        f"<b>{html.escape(download.title)}</b>"
        f'<span class="purpose">{html.escape(download.purpose)}</span>'
    )
    if download.file_name not in made:
        return f'<li class="waiting">{text}<span class="size">preparing…</span></li>'
    path = made[download.file_name]
    if path is None:
        return f'<li class="failed">{text}<span class="size">could not be made</span></li>'
    size = format_size(path.stat().st_size)
    return (
        f'<li><a href="{file_url(path)}" download="{download.file_name}">{text}'
        f'<span class="size">{size}</span></a></li>'
    )
