"""`export`: a scene or a splat file in another format."""

import argparse
from pathlib import Path
from typing import Any

from videorfsplat.commands import Command
from videorfsplat.commands._sources import add_source, load_source

_DESCRIPTION = (
    "Write a scene folder, or a splat file, for other programs; the output's name says in which "
    "format. Gaussians: .ply, .compressed.ply, .spz, .sog, .splat, .html (the viewer with the "
    "scene in one file). Scene folders also: .glb (points and frustums), .json (nerfstudio), .npz "
    "and .tum (cameras), .zip or a folder (COLMAP), .mp4 (the views)."
)

# Those of `splat_formats`, without its libraries.
_SUFFIXES = (".compressed.ply", ".ply", ".spz", ".sog", ".splat")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_source(parser, "what to export")
    parser.add_argument("--output", required=True, type=Path, help="file or folder to write")
    parser.add_argument(
        "--axes",
        choices=("opencv", "opengl"),
        default="opencv",
        help="world axes of the file: y down, or y up (default: opencv). "
        "Always y up, by their definition: .spz and .glb",
    )
    parser.add_argument(
        "--sh-degree",
        type=int,
        metavar="DEGREE",
        help="of a .ply: 3 adds zeros, for tools that open nothing but 45 properties f_rest",
    )


def _run(args: argparse.Namespace) -> dict[str, Any]:
    is_splats = args.output.name.lower().endswith(_SUFFIXES)
    if args.sh_degree is not None and not is_splats:
        raise ValueError(f"{args.output}: --sh-degree is for .ply files")
    source = load_source(args)
    from videorfsplat.formats.html import save_html
    from videorfsplat.formats.splat_formats import save_splats

    if is_splats:
        save_splats(source.gaussians, args.output, axes=args.axes, sh_degree=args.sh_degree)
    elif source.scene is not None:
        source.scene.export(args.output, axes=args.axes)
    elif args.output.suffix.lower() == ".html":
        save_html(source.gaussians, args.output, title=args.source.name)
    else:
        known = ", ".join([*_SUFFIXES, ".html"])
        raise ValueError(f"{args.source} holds Gaussians only: expected an output in {known}")
    return {
        "output": str(args.output),
        "num_gaussians": len(source.gaussians),
        "axes": args.axes,
        **source.report,
    }


def _describe(report: dict[str, Any]) -> str:
    return report["output"]


main = Command("videorfsplat export", _DESCRIPTION, _add_arguments, _run, _describe).main
