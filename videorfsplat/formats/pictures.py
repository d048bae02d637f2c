"""Finding the pictures that a file of cameras names, whatever machine or tool wrote the names."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SHRUNK = ("", "_2", "_4", "_8")
"""Folders of the same pictures at another size are called `images_2`, `images_4`, `images_8`."""


def find_picture(
    folder: Path, name: str, *, root: Path | None = None, shrunk: str = ""
) -> Path | None:
    """The file that `name` means, or `None`.

    Tried are the name as it is; without its first folders, which may be those of another machine;
    and each with other suffixes. Backslashes part folders. What is found lies inside `root`.

    Args:
        folder: that names are relative to.
        name: as a file has it.
        root: folder of the data set, `folder` if not given.
        shrunk: one of `SHRUNK`.
    """
    inside = (root or folder).resolve()
    for path in _candidates(folder, name, shrunk):
        found = _with_some_suffix(path)
        if found is not None and found.resolve().is_relative_to(inside):
            return found
    return None


def _candidates(folder: Path, name: str, shrunk: str) -> Iterator[Path]:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    for start in range(len(parts)):
        tail = parts[start:]
        if shrunk:
            if len(tail) < 2:
                return
            tail = (*tail[:-2], tail[-2] + shrunk, tail[-1])
        yield folder.joinpath(*tail)


def _with_some_suffix(path: Path) -> Path | None:
    if path.suffix and path.is_file():
        return path
    # A name without a suffix, or the same picture in another format: its suffix may be in capitals.
    stem = path if path.suffix.lower() not in PICTURE_SUFFIXES else path.with_suffix("")
    for suffix in PICTURE_SUFFIXES:
        for spelled in (suffix, suffix.upper()):
            other = stem.with_name(stem.name + spelled)
            if other.is_file():
                return other
    return None
