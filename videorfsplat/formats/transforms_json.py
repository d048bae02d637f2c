"""nerfstudio's `transforms.json`: camera→world with OpenGL camera axes, pixels, file names."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.formats.axes import HALF_TURN, Axes, cameras_in_axes
from videorfsplat.formats.files import write_file
from videorfsplat.geometry.cameras import Cameras

MAX_BYTES = 32 * 2**20
MAX_FRAMES = 20_000
MAX_SIDE = 16_384
"""Limits on what is read, in bytes, frames and pixels: such files also come from strangers."""

CONVENTIONS_KEY = "videorfsplat_conventions"
"""The key that says, in the file, what its numbers mean."""

_INTRINSICS = ("fl_x", "fl_y", "cx", "cy", "w", "h")
_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_CAMERA_MODELS = ("PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")


@dataclass(frozen=True)
class TransformsFile:
    """What a `transforms.json` says, in the order of its frames."""

    cameras: Cameras
    image_paths: list[str]
    """As written; usually relative to the file's folder."""
    ply_path: str | None
    distortion: Float[Tensor, "v 6"]
    """k1, k2, k3, k4, p1, p2 of OpenCV's lens for each frame; zero is a pinhole."""


def save_transforms(
    cameras: Cameras,
    path: str | Path,
    image_paths: Sequence[str] | None = None,
    ply_path: str | None = None,
    *,
    axes: Axes = "opencv",
) -> None:
    """Write cameras; double precision, so reading gives the same matrices.

    Args:
        cameras: V cameras.
        path: file; its folder is made if needed.
        image_paths: V names relative to the file, default `frames/000.png`, `frames/001.png`, ….
        ply_path: point cloud or Gaussians that belong to the cameras, relative to the file.
        axes: world axes of the file; choose those of the PLY.

    Raises:
        ValueError: if the number of image paths is not V.
    """
    if image_paths is None:
        image_paths = [f"frames/{i:03d}.png" for i in range(cameras.num_views)]
    content = transforms_dict(cameras, image_paths, ply_path, axes=axes)
    write_file(path, json.dumps(content, indent=2, allow_nan=False).encode())


def transforms_dict(
    cameras: Cameras,
    image_paths: Sequence[str] | None = None,
    ply_path: str | None = None,
    *,
    axes: Axes = "opencv",
) -> dict[str, Any]:
    """What `save_transforms` writes, as plain data.

    Args:
        cameras: V cameras.
        image_paths: V names or addresses; without them the frames have no `file_path`.
        ply_path: as in `save_transforms`.
        axes: as in `save_transforms`.

    Raises:
        ValueError: if the number of image paths is not V.
    """
    if image_paths is not None and len(image_paths) != cameras.num_views:
        raise ValueError(f"expected {cameras.num_views} image paths, got {len(image_paths)}")
    turned = cameras_in_axes(cameras, axes)
    intrinsics = [_intrinsics_of(K, cameras) for K in cameras.Ks.detach().double().cpu().tolist()]
    is_shared = all(one == intrinsics[0] for one in intrinsics)
    matrices = _invert(turned.viewmats.detach().double().cpu().numpy())
    matrices[:, :3, :3] *= HALF_TURN  # camera axes: OpenCV → OpenGL
    files = (
        [{} for _ in matrices] if image_paths is None else [{"file_path": n} for n in image_paths]
    )
    frames = [
        {**file, "transform_matrix": matrix.tolist(), **({} if is_shared else own)}
        for file, matrix, own in zip(files, matrices, intrinsics, strict=True)
    ]
    return {
        "camera_model": "PINHOLE",
        **(intrinsics[0] if is_shared and intrinsics else {}),
        **({} if ply_path is None else {"ply_file_path": ply_path}),
        CONVENTIONS_KEY: _conventions(axes),
        "frames": frames,
    }


def load_transforms(
    path: str | Path, dtype: torch.dtype = torch.float32, *, ignore_distortion: bool = False
) -> Cameras:
    """The cameras of a `transforms.json`, in the package's conventions. See `read_transforms`."""
    return read_transforms(path, dtype, ignore_distortion=ignore_distortion).cameras


def read_transforms(
    path: str | Path, dtype: torch.dtype = torch.float32, *, ignore_distortion: bool = False
) -> TransformsFile:
    """Read a nerfstudio `transforms.json`, whose intrinsics are shared or stand with each frame.

    A file that we wrote with OpenGL world axes is turned back; the world of other files is taken
    as it is.

    Args:
        path: the file.
        dtype: of the cameras; the file is read in double precision.
        ignore_distortion: take a lens with distortion for a pinhole instead of refusing it; what
            was ignored is in `distortion`. A fisheye is refused all the same.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what is wrong: not JSON, too large, no frames, a key
            missing, a value that is not a finite number, a matrix that is not a rotation and a
            translation, image sizes that differ, lens distortion.
    """
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, at most {MAX_BYTES} are read")
    try:
        return _parse(_parse_json(path.read_bytes()), dtype, ignore_distortion)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _intrinsics_of(K: list[list[float]], cameras: Cameras) -> dict[str, float]:
    return {
        "fl_x": K[0][0],
        "fl_y": K[1][1],
        "cx": K[0][2],
        "cy": K[1][2],
        "w": cameras.width,
        "h": cameras.height,
    }


def _conventions(axes: Axes) -> dict[str, str]:
    world = {"opencv": "+x right, +y down, +z forward", "opengl": "+x right, +y up, +z back"}
    return {
        "transform_matrix": "camera to world, camera axes OpenGL (+x right, +y up, +z back)",
        "world_axes": axes,
        "world": f"the frame of ply_file_path; as seen by an upright first camera: {world[axes]}",
        "pixels": "fl_x, fl_y, cx, cy in pixels; the centre of the first pixel is (0.5, 0.5)",
    }


def _invert(matrices: np.ndarray) -> np.ndarray:
    """Inverse of rigid [v, 4, 4] in double precision. The 3×3 part is inverted, not transposed: a
    rotation that was stored in float32 is orthonormal only to 1e-7, and writing and reading
    should cancel."""
    inverse = np.tile(np.eye(4), (len(matrices), 1, 1))
    inverse[:, :3, :3] = np.linalg.inv(matrices[:, :3, :3])
    inverse[:, :3, 3:] = -inverse[:, :3, :3] @ matrices[:, :3, 3:]
    return inverse


def _parse_json(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"expected a JSON object, got {type(content).__name__}")
    return content


def _parse(content: dict[str, Any], dtype: torch.dtype, ignore_distortion: bool) -> TransformsFile:
    frames = _frames(content)
    rows, distortion = [], []
    for i, frame in enumerate(frames):
        where = f"frame {i + 1}"
        lens = _lens({**content, **frame}, where)
        if not ignore_distortion:
            _check_pinhole(lens, where)
        distortion.append(lens)
        rows.append([_number({**content, **frame}, key, where) for key in _INTRINSICS])
    width, height = _shared_size([(row[4], row[5]) for row in rows])
    camtoworlds = np.stack([_matrix(frame, f"frame {i + 1}") for i, frame in enumerate(frames)])
    camtoworlds[:, :3, :3] *= HALF_TURN  # camera axes: OpenGL → OpenCV
    Ks = np.tile(np.eye(3), (len(rows), 1, 1))
    Ks[:, [0, 1, 0, 1], [0, 1, 2, 2]] = np.array(rows)[:, :4]
    cameras = Cameras(
        torch.from_numpy(_invert(camtoworlds)).to(dtype),
        torch.from_numpy(Ks).to(dtype),
        width,
        height,
    )
    ply_path = content.get("ply_file_path")
    if ply_path is not None and not isinstance(ply_path, str):
        raise ValueError(f"ply_file_path must be a string, got {ply_path!r:.40}")
    cameras = cameras_in_axes(cameras, _world_axes(content))
    return TransformsFile(
        cameras,
        [frame["file_path"] for frame in frames],
        ply_path,
        torch.tensor(distortion, dtype=dtype),
    )


def _frames(content: dict[str, Any]) -> list[dict[str, Any]]:
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise ValueError("frames is missing or empty")
    if len(frames) > MAX_FRAMES:
        raise ValueError(f"{len(frames)} frames, at most {MAX_FRAMES} are read")
    for i, frame in enumerate(frames):
        if not isinstance(frame, dict):
            raise ValueError(f"frame {i + 1} is not a JSON object")
        if not isinstance(frame.get("file_path"), str):
            raise ValueError(f"frame {i + 1}: file_path is missing or not a string")
    return frames


def _number(values: dict[str, Any], key: str, where: str) -> float:
    if key not in values:
        raise ValueError(f"{where}: {key} is missing")
    return _finite(values[key], f"{where}: {key}")


def _finite(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{where} must be a number, got {value!r:.40}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{where} must be finite, got {number}")
    return number


def _lens(values: dict[str, Any], where: str) -> list[float]:
    """Coefficients of the lens, in the order of `_DISTORTION`."""
    model = values.get("camera_model", "PINHOLE")
    if model not in _CAMERA_MODELS:
        raise ValueError(f"{where}: camera_model {model!r:.40} is not a pinhole camera")
    return [_finite(values.get(key, 0.0), f"{where}: {key}") for key in _DISTORTION]


def _check_pinhole(lens: list[float], where: str) -> None:
    for key, value in zip(_DISTORTION, lens, strict=True):
        if value != 0:
            raise ValueError(f"{where}: lens distortion ({key} = {value}); undistort first")


def _shared_size(sizes: list[tuple[float, float]]) -> tuple[int, int]:
    if len(set(sizes)) != 1:
        raise ValueError(f"all images must have one size, got {sorted(set(sizes))[:4]}")
    for side in sizes[0]:
        if side != int(side) or not 1 <= side <= MAX_SIDE:
            raise ValueError(f"w and h must be whole numbers from 1 to {MAX_SIDE}, got {side:g}")
    return int(sizes[0][0]), int(sizes[0][1])


def _matrix(frame: dict[str, Any], where: str) -> np.ndarray:
    rows = frame.get("transform_matrix")
    if not isinstance(rows, list) or [len(r) for r in rows if isinstance(r, list)] != [4] * 4:
        raise ValueError(f"{where}: transform_matrix is missing or not 4x4")
    matrix = np.array([[_finite(x, f"{where}: transform_matrix") for x in row] for row in rows])
    if (matrix[3] != (0, 0, 0, 1)).any():
        raise ValueError(f"{where}: the last row of transform_matrix must be 0, 0, 0, 1")
    if abs(np.linalg.det(matrix[:3, :3])) < 1e-6:
        raise ValueError(f"{where}: transform_matrix is not a rotation and a translation")
    return matrix


def _world_axes(content: dict[str, Any]) -> Axes:
    conventions = content.get(CONVENTIONS_KEY, {})
    axes = conventions.get("world_axes", "opencv") if isinstance(conventions, dict) else None
    if axes not in ("opencv", "opengl"):
        raise ValueError(f'{CONVENTIONS_KEY}: axes must be "opencv" or "opengl", got {axes!r:.40}')
    return axes
