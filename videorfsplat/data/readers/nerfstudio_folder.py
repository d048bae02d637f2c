"""Folders with nerfstudio's `transforms.json`, DL3DV-10K's among them.

Pictures may be there at a smaller size than the file states, in `images_2`, `images_4` or
`images_8` instead of `images`, as DL3DV publishes them. Frames go in the natural order of their
names: tools write them in any order.
"""

from pathlib import Path

import torch

from videorfsplat.data.readers.frames import PictureFiles, in_order
from videorfsplat.data.readers.sequence import PosedSequence, no_points, unknown_depths
from videorfsplat.formats.pictures import SHRUNK, find_picture
from videorfsplat.formats.transforms_json import read_transforms

FILE_NAME = "transforms.json"


def read_nerfstudio(folder: Path, root: Path) -> PosedSequence:
    """Read the scene of one folder.

    Args:
        folder: with `transforms.json`.
        root: folder of the data set; pictures outside it are not read.

    Raises:
        ValueError: naming the file and what is wrong: see `read_transforms`; no pictures.
    """
    path = folder / FILE_NAME
    content = read_transforms(path, torch.float64, ignore_distortion=True, root=root)
    names = content.image_paths
    order = in_order(range(len(names)), names)
    pictures = _find_pictures(folder, [names[i] for i in order], root)
    present = [i for i, picture in enumerate(pictures) if picture is not None]
    if not present:
        raise ValueError(f"{path}: none of its {len(order)} pictures is there")
    kept = [order[i] for i in present]
    return PosedSequence(
        folder.relative_to(root).as_posix(),
        PictureFiles([picture for picture in pictures if picture is not None]),
        content.cameras[kept],
        content.distortion[kept],
        unknown_depths(len(kept)),
        no_points(len(kept)),
        tuple(names[i] for i in order if i not in set(kept)),
        tuple(content.left_out),
        tuple(content.sizes[i] for i in kept),
    )


def _find_pictures(folder: Path, names: list[str], root: Path) -> list[Path | None]:
    """Files of a scene, all of the largest size that is there; `None` where one is missing."""
    for shrunk in SHRUNK:
        paths = [find_picture(folder, name, root=root, shrunk=shrunk) for name in names]
        if any(paths):
            return paths
    return [None] * len(names)
