"""What `render` and `export` read: a scene folder or a splat file."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videorfsplat.generation.scene import Scene
    from videorfsplat.geometry.gaussians import Gaussians


def load_source(path: Path) -> "Scene | Gaussians":
    """The scene of a folder, or the Gaussians of a file.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: naming the file and what is wrong with it.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such scene folder or file")
    from videorfsplat.formats.splat_formats import load_splats
    from videorfsplat.generation.scene import Scene

    return Scene.load(path) if path.is_dir() else load_splats(path)
