"""The recorded scenes of a folder, whatever formats are in it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from videorfsplat.data.readers.colmap_folder import (
    has_model,
    has_pictures,
    read_colmap_folder,
)
from videorfsplat.data.readers.nerfstudio_folder import FILE_NAME, read_nerfstudio
from videorfsplat.data.readers.realestate10k import is_camera_file, read_clip
from videorfsplat.data.readers.sequence import PosedSequence


@dataclass(frozen=True)
class SceneSource:
    """Where one scene lies; nothing is read yet."""

    format: str
    path: Path
    root: Path

    @property
    def name(self) -> str:
        """What the scene is called in caption files, caches and messages."""
        relative = self.path.relative_to(self.root)
        return (relative.with_suffix("") if self.path.suffix == ".txt" else relative).as_posix()

    def read(self) -> PosedSequence:
        """Read its metadata; frames are read later.

        Raises:
            ValueError: naming the file and what is wrong.
        """
        try:
            return _READERS[self.format](self.path, self.root)
        except OSError as error:
            raise ValueError(f"{self.path}: {error.strerror or error}") from error


_READERS: dict[str, Callable[[Path, Path], PosedSequence]] = {
    "realestate10k": read_clip,
    "nerfstudio": read_nerfstudio,
    "colmap": read_colmap_folder,
}


def find_scenes(root: str | Path) -> list[SceneSource]:
    """Every scene below a folder, in the order of names.

    Recognised are: a folder with `transforms.json` (nerfstudio, DL3DV), a folder with a COLMAP
    model where tools put it (`find_models`; MVImgNet), and a text file whose first line is an
    address (RealEstate10K, ACID). The name of a scene is its path.

    Raises:
        ValueError: if there is no such folder, or no scene in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root}: no such folder")
    scenes = sorted(_walk(root), key=lambda scene: scene.name)
    if not scenes:
        raise ValueError(
            f"{root}: no scenes; expected transforms.json, sparse/0 or RealEstate10K camera files"
        )
    return scenes


def _walk(root: Path) -> Iterator[SceneSource]:
    yield from _walk_folder(root, root)


def _walk_folder(folder: Path, root: Path) -> Iterator[SceneSource]:
    names, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            (names if entry.is_dir(follow_symlinks=True) else files).append(entry.name)
    if FILE_NAME in files:
        yield SceneSource("nerfstudio", folder, root)
        return
    has_colmap = has_model(folder)
    if has_colmap and has_pictures(folder):
        yield SceneSource("colmap", folder, root)
        return
    clips = [folder / file for file in files if is_camera_file(folder / file)]
    yield from (SceneSource("realestate10k", clip, root) for clip in clips)
    # Folders of frames hold thousands of files and no scene.
    passed = {clip.stem for clip in clips} | {"frames", "images", "videos"}
    below = [
        scene
        for name in sorted(set(names) - passed)
        if not (folder / name).is_symlink()
        for scene in _walk_folder(folder / name, root)
    ]
    # A model without pictures is a scene only where there is no better one below it.
    if has_colmap and not any(scene.path != folder and _has_data(scene) for scene in below):
        yield SceneSource("colmap", folder, root)
        return
    yield from below


def _has_data(scene: SceneSource) -> bool:
    return scene.format != "colmap" or has_pictures(scene.path)
