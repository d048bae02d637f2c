"""The files that a scene can be had in: what they are, and making them."""

import html
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from videorfsplat.ui.page_files import file_url
from videorfsplat.ui.scene_folder import SPLATS_NAME, file_stem, read_scene_record

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from videorfsplat.formats.axes import Axes

AXES = ("opencv", "opengl")


@dataclass(frozen=True)
class Download:
    """A file that a scene can be had in."""

    file_name: str
    title: str
    purpose: str


DOWNLOADS: tuple[Download, ...] = (
    Download("scene.ply", "Splat, .ply", "standard 3DGS layout, full precision"),
    Download(SPLATS_NAME, "Compressed PLY", "SuperSplat, PlayCanvas"),
    Download("scene.spz", "SPZ", "Niantic, Spark; +y up as the format has it"),
    Download("scene.sog", "SOG", "smallest, PlayCanvas"),
    Download("scene.splat", "SPLAT", "web viewers"),
    Download("transforms.json", "Cameras, nerfstudio", "camera→world, OpenGL camera axes"),
    Download("scene-colmap.zip", "Cameras, COLMAP", "with frames, to train 3DGS"),
    Download("cameras.tum", "Cameras, TUM", "centres and quaternions"),
    Download("cameras.npz", "Cameras, NumPy", "matrices"),
    Download("scene.glb", "Point cloud, GLB", "points and camera frustums, +y up; Blender"),
    Download("film.mp4", "Video, .mp4", "there and back along the cameras"),
    Download("scene.html", "Web viewer, .html", "this scene in one file, works offline"),
    Download("scene.json", "Run record", "settings, seed, seconds, versions"),
)
"""In the order of the page."""

LARGE = ("scene.ply", "scene.html", "film.mp4")
"""What most people want."""

FILM_SIDE = 512
"""Of a film's pictures: what other pages play without blur."""


def make_download(folder: Path, file_name: str, axes: "Axes" = "opencv") -> Path:
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
    path = _place(folder, file_name, axes)
    if path.is_file():
        return path
    # Only here: the list of files is shown before torch is there.
    from videorfsplat.formats.video import save_video
    from videorfsplat.generation.preview import preview_cameras, render_frames
    from videorfsplat.ui.packed_scene import load_packed_scene

    scene = load_packed_scene(folder)
    if file_name == "film.mp4":
        cameras = preview_cameras(scene.cameras, side=FILM_SIDE)
        save_video(render_frames(scene.gaussians, cameras), path)
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
    from videorfsplat.formats.video import save_video
    from videorfsplat.generation.camera_paths import framed_by_scene
    from videorfsplat.generation.preview import preview_cameras, render_frames
    from videorfsplat.geometry.trajectories import TRAJECTORIES, trajectory
    from videorfsplat.ui.packed_scene import load_packed_scene

    path = folder / "files" / f"film-{path_name or 'cameras'}.mp4"
    if path_name in (None, *TRAJECTORIES) and path.is_file():
        return path
    scene = load_packed_scene(folder)
    cameras, count = scene.cameras, round(24 * seconds)
    if path_name is not None:
        size = {"width": cameras.width, "height": cameras.height}
        preset = trajectory(path_name, num_views=cameras.num_views, **size)
        cameras = framed_by_scene(preset, cameras, float(scene.record.get("unit", 1.0)))
    film = render_frames(scene.gaussians, preview_cameras(cameras, count, side=FILM_SIDE))
    save_video(film, path)
    return path


def film_player(folder: Path, path: Path) -> str:
    """A film to look at and to save, as HTML."""
    name = f"{_stem(folder)}-{path.stem.removeprefix('film-')}.mp4"
    return (
        f'<div class="film"><video controls loop muted playsinline src="{file_url(path)}"></video>'
        f'<a href="{file_url(path)}" download="{name}">Save the film '
        f"({format_size(path.stat().st_size)})</a></div>"
    )


def made_downloads(folder: Path, axes: "Axes" = "opencv") -> dict[str, Path]:
    """The downloads that are there already, by file name."""
    paths = {download.file_name: _place(folder, download.file_name, axes) for download in DOWNLOADS}
    return {name: path for name, path in paths.items() if path.is_file()}


def downloads_list(
    folder: Path,
    axes: "Axes" = "opencv",
    *,
    making: str = "",
    failed: str = "",
    start: str = "",
) -> str:
    """The downloads as HTML: three large choices, the others behind “More formats”.

    Args:
        folder: of the scene.
        axes: world axes of splats and cameras.
        making: file that is being made.
        failed: file that could not be made.
        start: file that is to be saved at once, since somebody asked for it.
    """
    made, stem = made_downloads(folder, axes), _stem(folder)

    def row(download: Download) -> str:
        name = download.file_name
        text = (
            f"<b>{html.escape(download.title)}</b>"
            f'<span class="purpose">{html.escape(download.purpose)}</span>'
        )
        if name == making:
            return f'<li class="waiting">{text}<span class="size">making…</span></li>'
        if name == failed:
            text += '<span class="size">could not be made; try again</span>'
        if name not in made:
            return f'<li><button type="button" data-file="{name}">{text}</button></li>'
        size = format_size(made[name].stat().st_size)
        begin = " data-start" if name == start else ""
        return (
            f'<li><a href="{file_url(made[name])}" data-file="{name}"{begin} '
            f'download="{_saved_name(name, stem)}">{text}<span class="size">{size}</span></a></li>'
        )

    large = [download for download in DOWNLOADS if download.file_name in LARGE]
    others = [download for download in DOWNLOADS if download.file_name not in LARGE]
    is_open = " open" if {making, failed, start} & {other.file_name for other in others} else ""
    return (
        f'<ul class="downloads large">{"".join(map(row, large))}</ul>'
        f"<details{is_open}><summary>More formats</summary>"
        f'<ul class="downloads">{"".join(map(row, others))}</ul></details>'
    )


def format_size(num_bytes: int) -> str:
    """A file's size in the unit that fits."""
    if num_bytes < 1000:
        return f"{num_bytes} B"
    if num_bytes < 1_000_000:
        return f"{num_bytes / 1000:.0f} kB"
    return f"{num_bytes / 1_000_000:.1f} MB"


def _place(folder: Path, file_name: str, axes: "Axes") -> Path:
    is_there = file_name in ("scene.ply", SPLATS_NAME) and (folder / file_name).is_file()
    if file_name == "scene.json" or (is_there and axes == "opencv"):
        return folder / file_name
    return folder / "files" / axes / file_name


def _stem(folder: Path) -> str:
    return file_stem(read_scene_record(folder)["record"]["settings"])


def _saved_name(file_name: str, stem: str) -> str:
    """Under which a file is saved, so that a folder of downloads says which is which."""
    for start in ("scene", "film"):
        if file_name.startswith(start):
            return stem + file_name.removeprefix(start)
    return f"{stem}-{file_name}"
