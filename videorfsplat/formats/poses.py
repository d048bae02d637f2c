"""Cameras as plain numbers: NumPy's `.npz`, trajectories as in the TUM RGB-D benchmark, and lines
of RealEstate10K."""

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from videorfsplat.formats.axes import Axes, cameras_in_axes, check_axes
from videorfsplat.formats.files import inflation_limit, read_lines, reading, write_file
from videorfsplat.geometry.cameras import Cameras


def save_npz(cameras: Cameras, path: str | Path, *, axes: Axes = "opencv") -> None:
    """Write `viewmats` [V,4,4] (world→camera, OpenCV camera axes), `Ks` [V,3,3] (pixels), `width`,
    `height` and `world_axes`, in the dtype that the cameras have."""
    turned = cameras_in_axes(cameras, axes)
    stream = io.BytesIO()
    np.savez(
        stream,
        viewmats=turned.viewmats.detach().cpu().numpy(),
        Ks=turned.Ks.detach().cpu().numpy(),
        width=cameras.width,
        height=cameras.height,
        world_axes=axes,
    )
    write_file(path, stream.getvalue())


def load_npz(path: str | Path) -> Cameras:
    """The cameras that `save_npz` wrote, in the package's axes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what is wrong.
    """
    data = Path(path).read_bytes()
    try:
        with reading(path):
            return _npz_cameras(data)
    except ValueError as error:
        reason = str(error).removeprefix(str(path)).lstrip(": ")
        raise ValueError(f"{path}: not a camera file ({reason})") from error


def _npz_cameras(data: bytes) -> Cameras:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        # NumPy takes memory for what an array's header claims before it reads the array.
        total = sum(entry.file_size for entry in archive.infolist())
        if total > inflation_limit(len(data)):
            raise ValueError(f"{len(data)} bytes become {total}, which no cameras do")
        for name in archive.namelist():
            with archive.open(name) as file:
                _check_array(file.read(_MAX_ARRAY_HEADER), archive.getinfo(name).file_size)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        missing = {"viewmats", "Ks", "width", "height", "world_axes"} - set(arrays.files)
        if missing:
            raise ValueError(f"{', '.join(sorted(missing))} is missing")
        axes = str(arrays["world_axes"])
        check_axes(axes)
        viewmats, Ks = arrays["viewmats"], arrays["Ks"]
        if viewmats.dtype.kind != "f" or Ks.dtype.kind != "f":
            raise ValueError("viewmats and Ks must hold floating-point numbers")
        size = int(arrays["width"]), int(arrays["height"])
        cameras = Cameras(torch.from_numpy(viewmats), torch.from_numpy(Ks), *size)
    return cameras_in_axes(cameras, "opengl" if axes == "opengl" else "opencv")


_MAX_ARRAY_HEADER = 2**16
"""Bytes of an array's start that hold its header, which NumPy writes in 128."""


def _check_array(start: bytes, size: int) -> None:
    file = io.BytesIO(start)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read_header:
        raise ValueError(f"an array of the unknown version {version}")
    shape, _, dtype = read_header[version](file)
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"damaged: an array of shape {shape} in {size} bytes")


def save_tum(cameras: Cameras, path: str | Path, *, axes: Axes = "opencv") -> None:
    """Write one line a view, `timestamp tx ty tz qx qy qz qw`: camera→world, OpenCV camera axes.

    The timestamp is the number of the view, from 0. Intrinsics have no place in this format.
    """
    turned = cameras_in_axes(cameras, axes).to(torch.float64)
    camtoworlds = turned.camtoworlds.detach().cpu().numpy()
    quats_xyzw = Rotation.from_matrix(camtoworlds[:, :3, :3]).as_quat(canonical=True)
    rows = np.concatenate([camtoworlds[:, :3, 3], quats_xyzw], axis=1).tolist()
    lines = [f"{i} {' '.join(map(repr, row))}" for i, row in enumerate(rows)]
    header = ["# timestamp tx ty tz qx qy qz qw (camera to world)", f"# world axes: {axes}"]
    write_file(path, ("\n".join([*header, *lines]) + "\n").encode())


DEFAULT_FOV_DEGREES = 50.0
"""Field of view of a path that states none, as that of the presets."""
DEFAULT_SIDE = 512
"""Width and height of its pictures, in pixels."""


def load_tum(path: str | Path) -> Cameras:
    """The poses of a trajectory as `save_tum` writes it, with intrinsics of a default (float64).

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, the line and what is wrong.
    """
    path = Path(path)
    with reading(path):
        lines = read_lines(path)
        rows = _number_rows([(n, line) for n, line in lines if not line.startswith("#")], 8, path)
        axes = "opengl" if any("world axes: opengl" in line for _, line in lines) else "opencv"
        if not (np.linalg.norm(rows[:, 4:], axis=1) > 0).all():
            raise ValueError("a quaternion is zero")
        rotations = Rotation.from_quat(rows[:, 4:]).as_matrix().transpose(0, 2, 1)
        viewmats = np.tile(np.eye(4), (len(rows), 1, 1))
        viewmats[:, :3, :3] = rotations
        viewmats[:, :3, 3:] = -rotations @ rows[:, 1:4, None]
        focal = DEFAULT_SIDE / 2 / math.tan(math.radians(DEFAULT_FOV_DEGREES) / 2)
        K = torch.tensor([[focal, 0, DEFAULT_SIDE / 2], [0, focal, DEFAULT_SIDE / 2], [0, 0, 1]])
        Ks = K.double().repeat(len(rows), 1, 1)
        cameras = Cameras(torch.from_numpy(viewmats), Ks, DEFAULT_SIDE, DEFAULT_SIDE)
    return cameras_in_axes(cameras, axes)


REALESTATE10K_COLUMNS = 19


def read_realestate10k(path: str | Path) -> tuple[str, Float[np.ndarray, "v 19"]]:
    """The address and the lines of a RealEstate10K camera file, in the file's order.

    A line holds a time in microseconds; fx, fy, cx, cy as shares of the image's width and height;
    two zeros; the 3×4 matrix [R|t] row by row, world→camera with OpenCV axes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, the line and what is wrong.
    """
    path = Path(path)
    with reading(path):
        lines = read_lines(path)
        if not lines or not lines[0][1].startswith(("http://", "https://")):
            raise ValueError("the first line must be the address of a video")
        return lines[0][1], _number_rows(lines[1:], REALESTATE10K_COLUMNS, path)


def realestate10k_cameras(rows: Float[np.ndarray, "v 19"], width: int, height: int) -> Cameras:
    """The cameras of such lines at an image size, float64.

    Raises:
        ValueError: if a matrix is no pose or a focal length not positive.
    """
    viewmats = np.tile(np.eye(4), (len(rows), 1, 1))
    viewmats[:, :3] = rows[:, 7:].reshape(-1, 3, 4)
    Ks = np.tile(np.eye(3), (len(rows), 1, 1))
    Ks[:, [0, 1, 0, 1], [0, 1, 2, 2]] = rows[:, 1:5] * (width, height, width, height)
    return Cameras(torch.from_numpy(viewmats), torch.from_numpy(Ks), width, height)


def _number_rows(
    lines: list[tuple[int, str]], columns: int, path: Path
) -> Float[np.ndarray, "v c"]:
    rows = []
    for number, line in lines:
        try:
            row = [float(word) for word in line.split()]
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        if len(row) != columns or not np.isfinite(row).all():
            raise ValueError(f"{path}, line {number}: expected {columns} finite numbers")
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: no cameras")
    return np.array(rows)
