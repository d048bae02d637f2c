"""What `render` and `export` read: a scene folder or a splat file."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from videorfsplat.generation.scene import Scene
    from videorfsplat.geometry.gaussians import Gaussians


@dataclass(frozen=True)
class Source:
    """What was read."""

    gaussians: "Gaussians"
    scene: "Scene | None"
    """The whole of it, if it is a scene folder."""
    report: dict[str, Any]
    """What was wrong with the file, for the command's report."""


def add_source(parser: argparse.ArgumentParser, text: str) -> None:
    """The arguments of `load_source`."""
    parser.add_argument("source", type=Path, metavar="SCENE_OR_PLY", help=text)
    parser.add_argument(
        "--strict",
        action="store_true",
        help="refuse a file with bad Gaussians or cameras instead of leaving them out",
    )
    parser.add_argument(
        "--trusted",
        action="store_true",
        help="read a packed file whatever its size becomes; a stranger's may fill the memory",
    )


def load_source(args: argparse.Namespace) -> Source:
    """The scene of a folder, or the Gaussians of a file.

    Raises:
        FileNotFoundError: if there is nothing at `args.source`.
        ValueError: naming the file and what is wrong with it.
    """
    path: Path = args.source
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such scene folder or file")
    from videorfsplat.formats.splat_formats import read_splats
    from videorfsplat.generation.scene import Scene

    if path.is_dir() and not (path / "meta.json").is_file():
        scene = Scene.load(path)
        return Source(scene.gaussians, scene, {})
    path = path / "meta.json" if path.is_dir() else path
    file = read_splats(path, strict=args.strict, trusted=args.trusted)
    return Source(
        file.gaussians, None, {"dropped_gaussians": file.dropped, "flat_gaussians": file.flattened}
    )
