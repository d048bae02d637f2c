"""Folders with a COLMAP sparse model and the images it was made of, MVImgNet's among them."""

from pathlib import Path

import numpy as np
import torch

from videorfsplat.data.readers.frames import PictureFiles
from videorfsplat.data.readers.sequence import PosedSequence
from videorfsplat.formats.colmap_reconstruction import ColmapImage, read_reconstruction
from videorfsplat.geometry.cameras import Cameras

_MODELS = ("sparse/0", "sparse", "colmap/sparse/0")


def model_folder(folder: Path) -> Path | None:
    """Where the sparse model of a scene lies, if there is one."""
    for name in _MODELS:
        if any((folder / name / f"cameras.{kind}").is_file() for kind in ("bin", "txt")):
            return folder / name
    return None


def read_colmap_folder(folder: Path, root: Path) -> PosedSequence:
    """Read the scene of one folder; frames go in the order of their names.

    Args:
        folder: with `sparse/0` and `images`.
        root: folder of the data set.

    Raises:
        FileNotFoundError: if a file of the model is missing.
        ValueError: naming the file and what is wrong: see `read_reconstruction`; a fisheye, images
            of several sizes, no pictures.
    """
    sparse = model_folder(folder)
    assert sparse is not None
    model = read_reconstruction(sparse)
    images = sorted(model.images, key=lambda image: image.name)
    present = [image for image in images if _picture(folder, image).is_file()]
    if not present:
        raise ValueError(f"{model.path}: none of its {len(images)} pictures is in images/")
    lenses = [model.cameras[image.camera_id] for image in present]
    sizes = {(lens.width, lens.height) for lens in lenses}
    if len(sizes) != 1:
        raise ValueError(f"{model.path}: all images must have one size, got {sorted(sizes)}")
    try:
        cameras = Cameras(
            torch.from_numpy(np.stack([image.viewmat for image in present])),
            torch.from_numpy(np.stack([lens.K for lens in lenses])),
            *sizes.pop(),
        )
        distortion = torch.from_numpy(np.stack([lens.distortion for lens in lenses]))
    except ValueError as error:
        raise ValueError(f"{model.path}: {error}") from error
    depths = [model.median_depth(image) or np.nan for image in present]
    return PosedSequence(
        folder.relative_to(root).as_posix(),
        PictureFiles([_picture(folder, image) for image in present]),
        cameras,
        distortion,
        torch.tensor(depths, dtype=torch.float64),
        tuple(torch.from_numpy(model.seen_points(image)) for image in present),
        tuple(image.name for image in images if not _picture(folder, image).is_file()),
    )


def _picture(folder: Path, image: ColmapImage) -> Path:
    return folder / "images" / image.name
