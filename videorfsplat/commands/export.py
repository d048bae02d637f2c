"""`export`: a scene or a splat file in another format."""

import argparse
from pathlib import Path
from typing import Any

from videorfsplat.commands import Command
from videorfsplat.commands._sources import load_source

_DESCRIPTION = (
    "Write a scene folder, or a splat file, for other programs; the output's name says in which "
    "format. Gaussians: .ply, .compressed.ply, .spz, .sog, .splat, .html (the viewer with the "
    "scene in one file). Scene folders also: .glb (points and frustums), .json (nerfstudio), .npz "
    "and .tum (cameras), .zip or a folder (COLMAP), .mp4 (the views)."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SCENE_OR_PLY", help="what to export")
    parser.add_argument("--output", required=True, type=Path, help="file or folder to write")
    parser.add_argument(
        "--axes",
        choices=("opencv", "opengl"),
        default="opencv",
        help="world axes of the file: y down, or y up (default: opencv)",
    )


def _run(args: argparse.Namespace) -> dict[str, Any]:
    source = load_source(args.source)
    from videorfsplat.formats.html import save_html
    from videorfsplat.formats.splat_formats import SUFFIXES, save_splats
    from videorfsplat.generation.scene import Scene

    if isinstance(source, Scene):
        source.export(args.output, axes=args.axes)
    elif args.output.name.lower().endswith(SUFFIXES):
        save_splats(source, args.output, axes=args.axes)
    elif args.output.suffix.lower() == ".html":
        save_html(source, args.output, title=args.source.name)
    else:
        known = ", ".join([*SUFFIXES, ".html"])
        raise ValueError(f"{args.source} holds Gaussians only: expected an output in {known}")
    gaussians = source.gaussians if isinstance(source, Scene) else source
    return {"output": str(args.output), "num_gaussians": len(gaussians), "axes": args.axes}


def _describe(report: dict[str, Any]) -> str:
    return report["output"]


main = Command("videorfsplat export", _DESCRIPTION, _add_arguments, _run, _describe).main
