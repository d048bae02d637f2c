"""Folders with a COLMAP sparse model and the images it was made of, MVImgNet's among them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from videorfsplat.data.readers.frames import PictureFiles, in_order
from videorfsplat.data.readers.sequence import PosedSequence
from videorfsplat.formats.colmap_reconstruction import (
    ColmapImage,
    Reconstruction,
    find_models,
    read_reconstruction,
)
from videorfsplat.formats.pictures import SHRUNK, find_picture
from videorfsplat.geometry.cameras import Cameras

_PICTURE_FOLDERS = ("images", "input", *(f"images{shrunk}" for shrunk in SHRUNK[1:]))


def has_model(folder: Path) -> bool:
    """Whether a folder is a scene of this format: it has a sparse model."""
    return bool(find_models(folder))


def has_pictures(folder: Path) -> bool:
    """Whether pictures may lie beside one of its models; none is read."""
    return any(True for model in find_models(folder) for _ in _picture_folders(folder, model))


def read_colmap_folder(folder: Path, root: Path) -> PosedSequence:
    """Read the scene of one folder; frames go in the natural order of their names.

    Of several models, the largest one whose pictures are there counts. An image whose camera is no
    pinhole with a lens that can be undone is left out.

    Args:
        folder: with `sparse/0` and `images`, or as tools lay out their workspaces (`find_models`).
        root: folder of the data set.

    Raises:
        FileNotFoundError: if a file of the model is missing.
        ValueError: naming the file and what is wrong: see `read_reconstruction`; no pictures, no
            image that can be used.
    """
    complaint = f"{folder}: no sparse model"
    for sparse in find_models(folder):
        model = read_reconstruction(sparse)
        images = in_order(model.images, [image.name for image in model.images])
        for pictures in _picture_folders(folder, sparse):
            found = [find_picture(pictures, image.name, root=root) for image in images]
            if any(found):
                return _sequence(folder, root, model, images, found)
        complaint = f"{model.path}: none of its {len(images)} pictures is in images/"
    raise ValueError(complaint)


def _picture_folders(folder: Path, sparse: Path) -> Iterator[Path]:
    """Folders beside a model or above it, up to that of the scene."""
    for above in (sparse, *sparse.parents):
        for name in _PICTURE_FOLDERS:
            if (above / name).is_dir():
                yield above / name
        if above == folder:
            return


def _sequence(
    folder: Path,
    root: Path,
    model: Reconstruction,
    images: list[ColmapImage],
    found: list[Path | None],
) -> PosedSequence:
    kept, pictures, Ks, lenses, sizes, left_out = [], [], [], [], [], []
    for image, picture in zip(images, found, strict=True):
        camera = model.cameras[image.camera_id]
        if picture is None:
            continue
        try:
            K, lens = camera.K, camera.distortion
        except ValueError as error:
            left_out.append(f"{image.name}: {error}")
            continue
        kept.append(image)
        pictures.append(picture)
        sizes.append((camera.width, camera.height))
        Ks.append(np.diag([sizes[0][0] / camera.width, sizes[0][1] / camera.height, 1]) @ K)
        lenses.append(lens)
    if not kept:
        raise ValueError(f"{model.path}: {left_out[0]}")
    try:
        cameras = Cameras(
            torch.from_numpy(np.stack([image.viewmat for image in kept])),
            torch.from_numpy(np.stack(Ks)),
            *sizes[0],
        )
    except ValueError as error:
        raise ValueError(f"{model.path}: {error}") from error
    depths = [model.median_depth(image) or np.nan for image in kept]
    return PosedSequence(
        folder.relative_to(root).as_posix(),
        PictureFiles(pictures),
        cameras,
        torch.from_numpy(np.stack(lenses)),
        torch.tensor(depths, dtype=torch.float64),
        tuple(torch.from_numpy(model.seen_points(image)) for image in kept),
        tuple(image.name for image, path in zip(images, found, strict=True) if path is None),
        tuple(left_out),
        tuple(sizes),
    )
