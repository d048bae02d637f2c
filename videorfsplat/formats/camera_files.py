"""Camera paths in any format that the package writes, told by their contents."""

import logging
import struct
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from videorfsplat.formats.axes import HALF_TURN
from videorfsplat.formats.colmap_reconstruction import find_models, read_reconstruction
from videorfsplat.formats.files import inflation_limit, json_object, reading
from videorfsplat.formats.html import embedded_cameras
from videorfsplat.formats.poses import (
    load_npz,
    load_tum,
    read_realestate10k,
    realestate10k_cameras,
)
from videorfsplat.formats.transforms_json import read_transforms
from videorfsplat.geometry.cameras import Cameras

logger = logging.getLogger(__name__)

TAKEN = (
    "transforms.json, .npz, .tum, .glb, an .html that we wrote, a COLMAP folder or .zip, or a "
    "RealEstate10K camera file"
)
"""What `read_camera_file` takes, for messages."""

# RealEstate10K's intrinsics are shares of an image of this shape, that of its videos.
_VIDEO_SIZE = (640, 360)


@dataclass(frozen=True)
class CameraFile:
    """The cameras of a path, in the unit and frame of its file."""

    cameras: Cameras
    """Float64, of one size; where sizes differed, `Ks` are stretched to the first."""
    left_out: list[str]
    """What was wrong with cameras that are not among these."""
    ignored: str | None = None
    """What was not followed, such as lens distortion."""


def read_camera_file(path: str | Path, *, strict: bool = False) -> CameraFile:
    """Read a path: its contents tell the format, one of `TAKEN`.

    Lens distortion is ignored with a warning: a path is followed by pinholes. A bad camera is left
    out with a warning.

    Args:
        path: file or folder.
        strict: refuse a path with a bad camera.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: naming the file and what is wrong with it; a fisheye or a panorama.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    with reading(path):
        found = _read_folder(path, strict) if path.is_dir() else _read_file(path, strict)
        found = replace(found, cameras=_rigid(found.cameras))
    if found.ignored is not None:
        logger.warning("%s: %s ignored: the path is followed by pinholes", path, found.ignored)
    return found


def _rigid(cameras: Cameras) -> Cameras:
    """The same with rotations that are exact in double precision.

    Files have rotations of seven digits. Far from the origin, as in maps, a transpose that is not
    quite the inverse would move the centres by as many digits of the distance.
    """
    viewmats = cameras.viewmats.numpy().copy()
    centers = np.linalg.solve(viewmats[:, :3, :3], -viewmats[:, :3, 3:])
    left, _, right = np.linalg.svd(viewmats[:, :3, :3])
    viewmats[:, :3, :3] = left @ right
    viewmats[:, :3, 3:] = -viewmats[:, :3, :3] @ centers
    return replace(cameras, viewmats=torch.from_numpy(viewmats))


def _read_file(path: Path, strict: bool) -> CameraFile:
    with path.open("rb") as file:
        start = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"{", b"[")) or path.suffix.lower() == ".json":
        return _read_transforms(path, strict)
    if start.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if all(name.endswith(".npy") for name in names):
            return CameraFile(load_npz(path).to(torch.float64), [])
        return _read_zip(path, strict)
    if start.startswith(b"glTF"):
        return CameraFile(_glb_cameras(path.read_bytes()), [])
    if start.startswith((b"http://", b"https://")):
        _, rows = read_realestate10k(path)
        return CameraFile(realestate10k_cameras(rows, *_VIDEO_SIZE), [])
    if start.lower().startswith(b"<!doctype html"):
        return _read_html(path, strict)
    if start.startswith(b"# timestamp") or path.suffix.lower() == ".tum":
        return CameraFile(load_tum(path), [])
    raise ValueError(f"not a camera path: expected {TAKEN}")


def _read_folder(path: Path, strict: bool) -> CameraFile:
    if (path / "transforms.json").is_file():
        return _read_transforms(path / "transforms.json", strict)
    models = find_models(path)
    if not models:
        raise ValueError(f"not a camera path: expected {TAKEN}")
    return _read_colmap(models[0], strict)


def _read_transforms(path: Path, strict: bool) -> CameraFile:
    file = read_transforms(
        path, torch.float64, ignore_distortion=True, guess_size=True, strict=strict
    )
    ignored = "lens distortion is" if file.distortion.any() else None
    return CameraFile(file.cameras, file.left_out, ignored)


def _read_colmap(folder: Path, strict: bool) -> CameraFile:
    model = read_reconstruction(folder)
    viewmats, Ks, left_out, is_distorted, size = [], [], [], False, (0, 0)
    for image in model.images:
        lens = model.cameras[image.camera_id]
        try:
            K, is_distorted = lens.K, is_distorted or bool(lens.distortion.any())
        except ValueError as error:
            left_out.append(f"{image.name}: {error}")
            continue
        size = size if Ks else (lens.width, lens.height)
        Ks.append(np.diag([size[0] / lens.width, size[1] / lens.height, 1]) @ K)
        viewmats.append(image.viewmat)
    if left_out and (strict or not Ks):
        raise ValueError(left_out[0])
    if left_out:
        logger.warning("%s: %d cameras left out: %s", folder, len(left_out), left_out[0])
    cameras = Cameras(torch.from_numpy(np.stack(viewmats)), torch.from_numpy(np.stack(Ks)), *size)
    return CameraFile(cameras, left_out, "lens distortion is" if is_distorted else None)


def _read_html(path: Path, strict: bool) -> CameraFile:
    with tempfile.TemporaryDirectory() as folder:
        transforms = Path(folder) / "transforms.json"
        transforms.write_bytes(embedded_cameras(path.read_bytes()))
        return _read_transforms(transforms, strict)


def _read_zip(path: Path, strict: bool) -> CameraFile:
    """A COLMAP folder in a zip, or a transforms.json; pictures are not unpacked."""
    wanted = {f"{name}.{kind}" for name in ("cameras", "images") for kind in ("txt", "bin")}
    limit = inflation_limit(path.stat().st_size)
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        for entry in archive.infolist():
            if Path(entry.filename).name not in wanted | {"transforms.json"}:
                continue
            limit -= entry.file_size
            if limit < 0:
                raise ValueError("it becomes too large")
            archive.extract(entry, folder)
        found = next(iter(sorted(Path(folder).rglob("transforms.json"))), None)
        models = find_models(Path(folder))
        if found is None and not models:
            raise ValueError(f"not a camera path: expected {TAKEN}")
        return _read_transforms(found, strict) if found else _read_colmap(models[0], strict)


def _glb_cameras(data: bytes) -> Cameras:
    """The cameras that `save_glb` wrote: their nodes hold the pose, their children's extras K."""
    _, _, _, length, _ = struct.unpack_from("<4sIIII", data)
    content = json_object(data[20 : 20 + length])
    camtoworlds, Ks, size = [], [], (0, 0)
    nodes = content["nodes"]
    for node in nodes:
        children = [nodes[i] for i in node.get("children", [])]
        extras = next((c["extras"] for c in children if "K" in c.get("extras", {})), None)
        if not str(node.get("name")).startswith("view_") or extras is None:
            continue
        camtoworlds.append(np.array(node.get("matrix", np.eye(4).T.ravel())).reshape(4, 4).T)
        Ks.append(np.array(extras["K"], np.float64))
        size = int(extras["width"]), int(extras["height"])
    if not Ks:
        raise ValueError("no cameras of views in it")
    turn = np.diag([*HALF_TURN, 1.0])
    viewmats = np.linalg.inv(turn @ np.stack(camtoworlds) @ turn)
    viewmats[:, 3] = (0, 0, 0, 1)
    return Cameras(torch.from_numpy(viewmats), torch.from_numpy(np.stack(Ks)), *size)
