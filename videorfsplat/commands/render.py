"""`render`: pictures or a film of a scene along a camera path."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videorfsplat.commands import Command, table
from videorfsplat.commands._sources import load_source
from videorfsplat.generation.record import StageClock

if TYPE_CHECKING:
    from videorfsplat.geometry.cameras import Cameras

_DESCRIPTION = (
    "Render a scene folder or a splat file (.ply, .compressed.ply, .spz, .sog, .splat). "
    "Pictures are taken from the cameras of the path, a film flies smoothly through them."
)

MAX_SIDE = 8192


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SCENE_OR_PLY", help="what to render")
    parser.add_argument(
        "--output", required=True, type=Path, help="an .mp4 file, or a folder for PNG pictures"
    )
    parser.add_argument(
        "--trajectory",
        help="a preset such as orbit_left, or a transforms.json (default: the scene's cameras)",
    )
    parser.add_argument("--frames", type=int, help="pictures along a smooth path")
    parser.add_argument("--width", type=int, help="in pixels (default: the cameras')")
    parser.add_argument("--height", type=int, help="in pixels (default: the cameras')")
    parser.add_argument("--fps", type=float, default=24.0, help="of a film (default: 24)")


def _run(args: argparse.Namespace) -> dict[str, Any]:
    clock = StageClock()
    is_film = _check(args)
    source = load_source(args.source)
    from videorfsplat.formats.video import check_frames_folder, save_frames, save_video
    from videorfsplat.generation.camera_paths import load_camera_path
    from videorfsplat.generation.preview import PREVIEW_FRAMES, render_frames
    from videorfsplat.generation.scene import Scene
    from videorfsplat.geometry.trajectories import fly_through

    if args.trajectory is not None:
        cameras = load_camera_path(args.trajectory)
    elif isinstance(source, Scene):
        cameras = source.cameras
    else:
        raise ValueError(f"{args.source} has no cameras: name a --trajectory")
    if is_film or args.frames is not None:
        frames = PREVIEW_FRAMES if args.frames is None else args.frames
        cameras = fly_through(cameras, frames, there_and_back=is_film)
    cameras = _resized(cameras, args.width, args.height)
    if not is_film:
        check_frames_folder(args.output, cameras.num_views)
    clock.lap("load")
    pictures = render_frames(source.gaussians if isinstance(source, Scene) else source, cameras)
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
        "seconds": clock.seconds(),
    }


def _check(args: argparse.Namespace) -> bool:
    """Refuse what cannot work; returns whether a film is asked for."""
    if args.output.suffix.lower() not in ("", ".mp4"):
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
