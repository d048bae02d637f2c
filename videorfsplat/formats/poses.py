"""Cameras as plain numbers: NumPy's `.npz`, and trajectories as in the TUM RGB-D benchmark."""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from videorfsplat.formats.axes import Axes, cameras_in_axes, check_axes
from videorfsplat.formats.files import write_file
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
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            axes = str(arrays["world_axes"])
            check_axes(axes)
            cameras = Cameras(
                torch.from_numpy(arrays["viewmats"]),
                torch.from_numpy(arrays["Ks"]),
                int(arrays["width"]),
                int(arrays["height"]),
            )
    except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a camera file ({error})") from error
    return cameras_in_axes(cameras, "opengl" if axes == "opengl" else "opencv")


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
