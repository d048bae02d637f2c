"""nerfstudio's `transforms.json`: camera→world with OpenGL camera axes, pixels, file names.

instant-ngp, Polycam, Record3D, Luma and Blender's data sets write dialects of it. Values stand in
the file or in a frame, which counts more; what is missing is computed as these tools do: a focal
length from `camera_angle_x`, the centre from the size, the size from the picture.
"""

import io
import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from videorfsplat.formats.axes import HALF_TURN, Axes, cameras_in_axes
from videorfsplat.formats.files import json_object, reading, write_file
from videorfsplat.formats.pictures import find_picture
from videorfsplat.geometry.cameras import ROTATION_TOLERANCE, Cameras

logger = logging.getLogger(__name__)

MAX_BYTES = 32 * 2**20
MAX_FRAMES = 20_000
MAX_SIDE = 16_384
"""Limits on what is read, in bytes, frames and pixels: such files also come from strangers."""

CONVENTIONS_KEY = "videorfsplat_conventions"
"""The key that says, in the file, what its numbers mean."""

_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
# Further terms of OpenCV's lens, which only a path may have: it ignores them.
_MORE_DISTORTION = ("k5", "k6")
_PINHOLES = ("", "PINHOLE", "SIMPLE_PINHOLE", "PERSPECTIVE")
_LENSES = (*_PINHOLES, "SIMPLE_RADIAL", "RADIAL", "OPENCV")
_IGNORABLE_LENSES = (*_LENSES, "FULL_OPENCV")
# How instant-ngp and others say, beside `camera_model`, that a camera is no pinhole.
_OTHER_FLAGS = ("is_fisheye", "fisheye", "equirectangular", "latlong", "ftheta_p0", "orthographic")


@dataclass(frozen=True)
class TransformsFile:
    """What a `transforms.json` says, in the order of its frames."""

    cameras: Cameras
    """At the size of the first frame; where sizes differ, `Ks` are stretched to it."""
    sizes: list[tuple[int, int]]
    """Width and height of each frame."""
    image_paths: list[str]
    """As written; usually relative to the file's folder; empty where a frame names none."""
    ply_path: str | None
    distortion: Float[Tensor, "v 6"]
    """k1, k2, k3, k4, p1, p2 of OpenCV's lens for each frame; zero is a pinhole."""
    left_out: list[str]
    """What was wrong with frames that are not among these."""


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
    """The cameras of a `transforms.json` without a bad frame. See `read_transforms`."""
    return read_transforms(path, dtype, ignore_distortion=ignore_distortion, strict=True).cameras


def read_transforms(
    path: str | Path,
    dtype: torch.dtype = torch.float32,
    *,
    ignore_distortion: bool = False,
    guess_size: bool = False,
    strict: bool = False,
    root: Path | None = None,
) -> TransformsFile:
    """Read a nerfstudio `transforms.json`, whose intrinsics are shared or stand with each frame.

    A file that we wrote with OpenGL world axes is turned back; the world of other files is taken
    as it is. A frame with something wrong is left out, with a warning.

    Args:
        path: the file.
        dtype: of the cameras; the file is read in double precision.
        ignore_distortion: take a lens with distortion for a pinhole instead of refusing it; what
            was ignored is in `distortion`. A fisheye or a panorama is refused all the same.
        guess_size: where neither the file nor a picture tells the size, take the centre for the
            middle, or else a square of `GUESSED_SIDE` pixels.
        strict: refuse a file with a bad frame.
        root: folder that pictures may lie in, the file's if not given.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what is wrong: not JSON, too large, no frames, or of every
            frame (of one, if `strict`): a key missing, a value that is not a finite number, a
            matrix that is not a rotation and a translation, lens distortion, no pinhole.
    """
    path = Path(path)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: {path.stat().st_size} bytes, at most {MAX_BYTES} are read")

    def picture_size(name: str) -> tuple[int, int] | None:
        picture = find_picture(path.parent, name, root=root)
        if picture is None:
            return None
        try:
            with Image.open(io.BytesIO(picture.read_bytes())) as image:
                return image.size
        # Pillow's decoders agree on no exception for damaged files.
        except Exception as error:
            raise ValueError(f"{picture} is not a picture, or damaged ({error})") from error

    with reading(path):
        # Notepad's byte order mark is no JSON.
        content = json_object(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        reader = _FrameReader(content, picture_size, ignore_distortion, guess_size)
        return _parse(content, reader, dtype, strict, str(path))


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


GUESSED_SIDE = 800
"""Side of the pictures of Blender's data sets, whose files do not state it."""


@dataclass(frozen=True)
class _Frame:
    """One good frame."""

    camtoworld: np.ndarray
    K: np.ndarray
    size: tuple[int, int]
    distortion: list[float]
    image_path: str


@dataclass(frozen=True)
class _FrameReader:
    """Reads frames of one file."""

    content: dict[str, Any]
    picture_size: Callable[[str], tuple[int, int] | None]
    ignore_distortion: bool
    guess_size: bool

    def read(self, frame: Any) -> _Frame:
        if not isinstance(frame, dict):
            raise ValueError("not a JSON object")
        # A null says nothing; it must not hide what the file says.
        stated = {key: value for key, value in frame.items() if value is not None}
        values = self.content | stated
        name = values.get("file_path", "")
        if not isinstance(name, str) or not (name or self.guess_size):
            raise ValueError("file_path is missing or not a string")
        distortion = _lens(values, self.ignore_distortion)
        size = self._size(values, name)
        return _Frame(_matrix(frame), _intrinsics(values, size), size, distortion, name)

    def _size(self, values: dict[str, Any], name: str) -> tuple[int, int]:
        width, height = (_optional(values, key) for key in ("w", "h"))
        if width is None or height is None:
            found = self.picture_size(name) if name else None
            if found is None and self.guess_size:
                found = _guessed_size(values)
            if found is None:
                missing = [key for key, side in (("w", width), ("h", height)) if side is None]
                missing += [] if _has_focal(values) else ["fl_x"]
                where = f"its picture {name!r:.60} is not there to tell"
                raise ValueError(f"{', '.join(missing)} is missing, and {where}")
            width = found[0] if width is None else width
            height = found[1] if height is None else height
        for side in (width, height):
            if side != int(side) or not 1 <= side <= MAX_SIDE:
                raise ValueError(
                    f"w and h must be whole numbers from 1 to {MAX_SIDE}, got {side:g}"
                )
        return int(width), int(height)


def _parse(
    content: dict[str, Any], reader: _FrameReader, dtype: torch.dtype, strict: bool, name: str
) -> TransformsFile:
    axes = _world_axes(content)
    ply_path = content.get("ply_file_path")
    if ply_path is not None and not isinstance(ply_path, str):
        raise ValueError(f"ply_file_path must be a string, got {ply_path!r:.40}")
    frames, left_out = [], []
    for number, frame in enumerate(_frames(content), 1):
        try:
            frames.append(reader.read(frame))
        except ValueError as error:
            problem = f"frame {number}: {error}"
            if strict:
                raise ValueError(problem) from error
            left_out.append(problem)
    if not frames:
        raise ValueError(left_out[0])
    if left_out:
        count = len(left_out) + len(frames)
        logger.warning("%s: %d of %d frames left out: %s", name, len(left_out), count, left_out[0])
    width, height = frames[0].size
    stretch = np.array([[width / frame.size[0], height / frame.size[1], 1] for frame in frames])
    camtoworlds = np.stack([frame.camtoworld for frame in frames])
    camtoworlds[:, :3, :3] *= HALF_TURN  # camera axes: OpenGL → OpenCV
    cameras = Cameras(
        torch.from_numpy(_invert(camtoworlds)).to(dtype),
        torch.from_numpy(np.stack([f.K for f in frames]) * stretch[:, :, None]).to(dtype),
        width,
        height,
    )
    return TransformsFile(
        cameras_in_axes(cameras, axes),
        [frame.size for frame in frames],
        [frame.image_path for frame in frames],
        ply_path,
        torch.tensor([frame.distortion for frame in frames], dtype=dtype),
        left_out,
    )


def _frames(content: dict[str, Any]) -> list[Any]:
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise ValueError("frames is missing or empty")
    if len(frames) > MAX_FRAMES:
        raise ValueError(f"{len(frames)} frames, at most {MAX_FRAMES} are read")
    return frames


def _optional(values: dict[str, Any], key: str) -> float | None:
    """A number, or `None` where there is none or a null."""
    return None if values.get(key) is None else _finite(values[key], key)


def _finite(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{where} must be a number, got {value!r:.40}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except ValueError as error:
        raise ValueError(f"{where} must be a number, got {value!r:.40}") from error
    if not math.isfinite(number):
        raise ValueError(f"{where} must be finite, got {number}")
    return number


def _has_focal(values: dict[str, Any]) -> bool:
    keys = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y")
    return any(values.get(key) is not None for key in keys)


def _intrinsics(values: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """K in pixels; a focal length that is missing is that of square pixels."""
    focals = []
    for axis, side in zip("xy", size, strict=True):
        focal, angle = (_optional(values, key + axis) for key in ("fl_", "camera_angle_"))
        if focal is None and angle is not None:
            if not 0 < angle < math.pi:
                raise ValueError(f"camera_angle_{axis} must lie in (0, π), got {angle:g}")
            focal = side / 2 / math.tan(angle / 2)
        if focal is not None and focal <= 0:
            raise ValueError("focal lengths must be positive")
        focals.append(focal)
    known = next((focal for focal in focals if focal is not None), None)
    if known is None:
        raise ValueError("fl_x or camera_angle_x is missing")
    x, y = (known if focal is None else focal for focal in focals)
    cx, cy = (_optional(values, key) for key in ("cx", "cy"))
    cx, cy = (size[0] / 2 if cx is None else cx), (size[1] / 2 if cy is None else cy)
    return np.array([[x, 0, cx], [0, y, cy], [0, 0, 1]])


def _guessed_size(values: dict[str, Any]) -> tuple[int, int]:
    center = [_optional(values, key) for key in ("cx", "cy")]
    if None not in center:
        width, height = (max(1, round(2 * float(c or 0))) for c in center)
        return width, height
    return GUESSED_SIDE, GUESSED_SIDE


def _lens(values: dict[str, Any], ignore_distortion: bool) -> list[float]:
    """Coefficients of the lens, in the order of `_DISTORTION`."""
    model = values.get("camera_model") or ""
    known = _IGNORABLE_LENSES if ignore_distortion else _LENSES
    if not isinstance(model, str) or model.upper() not in known:
        raise ValueError(f"camera_model {model!r:.40} is not a pinhole camera")
    for flag in _OTHER_FLAGS:
        if values.get(flag) not in (None, False, 0):
            raise ValueError(f"{flag} says that it is not a pinhole camera")
    lens = [_finite(values.get(key) or 0.0, key) for key in (*_DISTORTION, *_MORE_DISTORTION)]
    if not ignore_distortion:
        for key, value in zip((*_DISTORTION, *_MORE_DISTORTION), lens, strict=True):
            if value != 0:
                raise ValueError(f"lens distortion ({key} = {value}); undistort first")
    return lens[: len(_DISTORTION)]


def _matrix(frame: dict[str, Any]) -> np.ndarray:
    rows = frame.get("transform_matrix")
    lengths = [len(r) for r in rows if isinstance(r, list)] if isinstance(rows, list) else []
    is_list = isinstance(rows, list) and len(lengths) == len(rows)
    if not is_list or lengths not in ([4] * 4, [4] * 3):
        raise ValueError("transform_matrix is missing or not 4x4")
    matrix = np.eye(4)
    assert isinstance(rows, list)
    matrix[: len(lengths)] = [[_finite(x, "transform_matrix") for x in row] for row in rows]
    if (matrix[3] != (0, 0, 0, 1)).any():
        raise ValueError("the last row of transform_matrix must be 0, 0, 0, 1")
    rotation = matrix[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = np.abs(rotation @ rotation.T - np.eye(3)).max()
        if not deviation <= ROTATION_TOLERANCE or np.linalg.det(rotation) < 0:
            raise ValueError("transform_matrix is not a rotation and a translation")
    return matrix


def _world_axes(content: dict[str, Any]) -> Axes:
    conventions = content.get(CONVENTIONS_KEY, {})
    axes = conventions.get("world_axes", "opencv") if isinstance(conventions, dict) else None
    if axes not in ("opencv", "opengl"):
        raise ValueError(f'{CONVENTIONS_KEY}: axes must be "opencv" or "opengl", got {axes!r:.40}')
    return axes
