"""`render`: pictures or a film of a scene along a camera path."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videorfsplat.commands import Command, table
from videorfsplat.commands._sources import Source, add_source, load_source
from videorfsplat.generation.record import StageClock

if TYPE_CHECKING:
    from videorfsplat.geometry.cameras import Cameras

_DESCRIPTION = (
    "Render a scene folder or a splat file (.ply, .compressed.ply, .spz, .sog, .splat). "
    "Pictures are taken from the cameras of the path, a film flies smoothly through them."
)

MAX_SIDE = 8192
SPLATS_SIDE = 512
"""Side of pictures of a splat file along a preset path, which states no size."""

# A name with one of these means a file that is not written; with any other, a folder.
_OTHER_FILES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".mov", ".webm", ".mkv", ".avi", ".m4v")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser, "what to render")
    parser.add_argument(
        "--output", required=True, type=Path, help="an .mp4 file, or a folder for PNG pictures"
    )
    parser.add_argument(
        "--trajectory",
        help="a preset such as orbit_left, which is framed to the scene, or a file of cameras in "
        "the scene's world: transforms.json, .npz, .tum, .glb, .html, COLMAP, RealEstate10K "
        "(default: the scene's cameras)",
    )
    parser.add_argument("--frames", type=int, help="pictures along a smooth path")
    parser.add_argument("--width", type=int, help="in pixels (default: the cameras')")
    parser.add_argument("--height", type=int, help="in pixels (default: the cameras')")
    parser.add_argument("--fps", type=float, default=24.0, help="of a film (default: 24)")


def _run(args: argparse.Namespace) -> dict[str, Any]:
    clock = StageClock()
    is_film = _check(args)
    source = load_source(args)
    from videorfsplat.formats.video import check_frames_folder, save_frames, save_video
    from videorfsplat.generation.preview import PREVIEW_FRAMES, render_frames
    from videorfsplat.geometry.trajectories import fly_through

    cameras, left_out = _cameras(args, source)
    if is_film or args.frames is not None:
        frames = PREVIEW_FRAMES if args.frames is None else args.frames
        cameras = fly_through(cameras, frames, there_and_back=is_film)
    cameras = _resized(cameras, args.width, args.height)
    if not is_film:
        check_frames_folder(args.output, cameras.num_views)
    clock.lap("load")
    pictures = render_frames(source.gaussians, cameras)
    clock.lap("render")
    if is_film:
        save_video(pictures, args.output, args.fps)
    else:
        save_frames(pictures, args.output)
    clock.lap("save")
    return {
        "output": str(args.output),
        "num_frames": len(pictures),
        "width": cameras.width,
        "height": cameras.height,
        "is_black": not pictures.any(),
        "cameras_left_out": left_out,
        "seconds": clock.seconds(),
        **source.report,
    }


def _cameras(args: argparse.Namespace, source: Source) -> tuple["Cameras", list[str]]:
    """The path to follow in the world of the source, and what was wrong with its file."""
    from videorfsplat.generation.camera_paths import (
        framed_by_scene,
        framed_by_splats,
        load_camera_path,
    )

    scene = source.scene
    if args.trajectory is None:
        if scene is None:
            raise ValueError(f"{args.source} has no cameras: name a --trajectory")
        return scene.cameras, []
    width, height = (SPLATS_SIDE, SPLATS_SIDE)
    if scene is not None:
        width, height = scene.cameras.width, scene.cameras.height
    path = load_camera_path(args.trajectory, width=width, height=height, strict=args.strict)
    if path.unit is None:
        return path.cameras, path.left_out
    if scene is not None:
        unit = float(scene.record.get("unit", 1.0))
        return framed_by_scene(path.cameras, scene.cameras, unit), []
    if len(source.gaussians) == 0:
        raise ValueError(f"{args.source} has no Gaussians to frame a path to")
    return framed_by_splats(path.cameras, source.gaussians), []


def _check(args: argparse.Namespace) -> bool:
    """Refuse what cannot work; returns whether a film is asked for."""
    if args.output.suffix.lower() in _OTHER_FILES:
        raise ValueError(f"{args.output}: expected an .mp4 file, or a folder for PNG pictures")
    for name, high in (("frames", 100_000), ("width", MAX_SIDE), ("height", MAX_SIDE)):
        value = getattr(args, name)
        if value is not None and not 1 <= value <= high:
            raise ValueError(f"{name} must lie in [1, {high}], got {value}")
    is_film = args.output.suffix.lower() == ".mp4"
    if args.output.exists() and args.output.is_dir() == is_film:
        raise ValueError(f"{args.output} is a {'folder' if is_film else 'file'}")
    return is_film


def _resized(cameras: "Cameras", width: int | None, height: int | None) -> "Cameras":
    """At another size, in the same proportions if only one side is given."""
    if width is None and height is None:
        return cameras
    if width is None:
        width = max(1, round(cameras.width * (height or 1) / cameras.height))
    if height is None:
        height = max(1, round(cameras.height * width / cameras.width))
    return cameras.resized(width, height)


def _describe(report: dict[str, Any]) -> str:
    return table(
        {
            "output": report["output"],
            "frames": f"{report['num_frames']} of {report['width']}×{report['height']} pixels",
            "seconds": f"{report['seconds']['total']:.1f}",
        }
    )


main = Command("videorfsplat render", _DESCRIPTION, _add_arguments, _run, _describe).main
