"""3D Gaussian Splatting PLY: the layout of INRIA's reference code, which every viewer opens.

One float32 record per Gaussian: `x y z`, `nx ny nz` (zero), `f_dc_0..2`, `f_rest_*` (channel-major:
all coefficients of red, then green, then blue), `opacity` (logit), `scale_0..2` (logarithms),
`rot_0..3` (wxyz). Logarithms and logits exist only in these files.
"""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from plyfile import PlyData, PlyElement, PlyParseError

from videorfsplat.formats.axes import Axes, gaussians_in_axes
from videorfsplat.formats.files import write_file
from videorfsplat.geometry.gaussians import Gaussians

OPACITY_EPS = 1e-6
"""Opacities are clamped to [eps, 1 − eps] before the logit, which 0 and 1 do not have; the change
is far below a step of an 8-bit picture."""

AXES_COMMENT = {
    "opencv": "world axes: opencv (+x right, +y down, +z forward)",
    "opengl": "world axes: opengl (+x right, +y up, +z back)",
}

_REQUIRED = (
    *("x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
_SH_COEFFICIENTS = {0: 1, 9: 4, 24: 9, 45: 16}


def save_ply(
    gaussians: Gaussians,
    path: str | Path,
    comments: Sequence[str] = (),
    *,
    axes: Axes = "opencv",
) -> None:
    """Write Gaussians (world frame, float32) to `path`; a comment in the header states the axes.

    Args:
        gaussians: what to write.
        path: file; its folder is made if needed.
        comments: further header lines. Line breaks and letters outside ASCII, which a PLY header
            cannot hold, are written as Python escapes.
        axes: world axes of the file.

    Raises:
        ValueError: if a value is not finite or out of range.
    """
    write_file(path, ply_bytes(gaussians, comments, axes=axes))


def load_ply(path: str | Path) -> Gaussians:
    """Read Gaussians, float32, in the package's axes.

    Quaternions are normalised. A file whose comment says that its axes are OpenGL's is turned
    back; a file that says nothing is taken as it is.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what is wrong: not a PLY, damaged, a property missing, a
            value that is not finite, a zero quaternion.
    """
    with open(path, "rb") as stream:
        return _parse(stream, str(path))


def ply_bytes(
    gaussians: Gaussians, comments: Sequence[str] = (), *, axes: Axes = "opencv"
) -> bytes:
    """The contents of the file that `save_ply` writes."""
    gaussians.check_values()
    gaussians = gaussians_in_axes(gaussians.detach().to("cpu"), axes)
    columns = _columns(gaussians)
    table = np.empty(len(gaussians), dtype=[(name, "<f4") for name in columns])
    for name, values in columns.items():
        with np.errstate(over="ignore"):
            table[name] = values
        if not np.isfinite(table[name]).all():
            raise ValueError(f"{name} holds a value that is not finite in float32")
    lines = [AXES_COMMENT[axes], *(c.encode("unicode_escape").decode() for c in comments)]
    stream = io.BytesIO()
    PlyData(
        [PlyElement.describe(table, "vertex")], text=False, byte_order="<", comments=lines
    ).write(stream)
    return stream.getvalue()


def parse_ply(data: bytes, name: str) -> Gaussians:
    """Gaussians from the contents of a PLY file; `name` is what errors call it. See `load_ply`."""
    # plyfile maps files into memory but walks through a `BytesIO` number by number, seconds long.
    with tempfile.TemporaryFile() as stream:
        stream.write(data)
        stream.seek(0)
        return _parse(stream, name)


def _parse(stream: BinaryIO, name: str) -> Gaussians:
    ply = _read_ply(stream, name)
    table = ply["vertex"].data
    num_rest = sum(p.startswith("f_rest_") for p in table.dtype.names)
    if num_rest not in _SH_COEFFICIENTS:
        raise ValueError(f"{name}: {num_rest} properties f_rest_*, expected 0, 9, 24 or 45")
    rest_names = [f"f_rest_{i}" for i in range(num_rest)]
    missing = [p for p in (*_REQUIRED, *rest_names) if p not in table.dtype.names]
    if missing:
        raise ValueError(f"{name} is not a 3DGS PLY: property {', '.join(missing)} is missing")
    try:
        gaussians = _gaussians(table, rest_names)
        gaussians.check_values()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return gaussians_in_axes(gaussians, "opengl" if _says_opengl(ply) else "opencv")


def _columns(gaussians: Gaussians) -> dict[str, np.ndarray]:
    """Property name → values, in the order of the file, computed in double precision."""
    double = gaussians.to(torch.float64)
    means, quats, sh = double.means.numpy(), double.quats.numpy(), double.sh.numpy()
    raw_scales = double.scales.log().numpy()
    raw_opacities = double.opacities.clamp(OPACITY_EPS, 1 - OPACITY_EPS).logit().numpy()
    columns = dict(zip("xyz", means.T, strict=True))
    columns |= {name: np.zeros(len(means)) for name in ("nx", "ny", "nz")}
    columns |= {f"f_dc_{i}": sh[:, 0, i] for i in range(3)}
    rest = sh[:, 1:].transpose(0, 2, 1)  # channel-major
    rest = rest.reshape(len(sh), 3 * (sh.shape[1] - 1))
    columns |= {f"f_rest_{i}": rest[:, i] for i in range(rest.shape[1])}
    columns["opacity"] = raw_opacities
    columns |= {f"scale_{i}": raw_scales[:, i] for i in range(3)}
    columns |= {f"rot_{i}": quats[:, i] for i in range(4)}
    return columns


def _read_ply(stream: BinaryIO, name: str) -> PlyData:
    if stream.read(3) != b"ply":
        raise ValueError(f"{name} is not a PLY file")
    stream.seek(0)
    try:
        ply = PlyData.read(stream)
    except (PlyParseError, ValueError, MemoryError, OverflowError) as error:
        raise ValueError(f"{name} is damaged: {error or type(error).__name__}") from error
    if "vertex" not in ply:
        raise ValueError(f"{name} is not a 3DGS PLY: element vertex is missing")
    for prop in ply["vertex"].properties:
        if ply["vertex"].data.dtype[prop.name].hasobject:
            raise ValueError(f"{name} is not a 3DGS PLY: property {prop.name} is a list")
    return ply


def _gaussians(table: np.ndarray, rest_names: list[str]) -> Gaussians:
    """Activate the properties; the activations are computed in double precision."""

    def stack(names: Sequence[str]) -> np.ndarray:
        values = [table[name].astype(np.float64) for name in names]
        return np.stack(values, axis=-1) if values else np.empty((len(table), 0))

    quats = stack([f"rot_{i}" for i in range(4)])
    norms = np.linalg.norm(quats, axis=1, keepdims=True)
    # Below this a float32 quaternion has no direction left.
    if (norms < 1e-12).any():
        raise ValueError("a quaternion (rot_0..3) is zero")
    rest = stack(rest_names).reshape(len(table), 3, len(rest_names) // 3).transpose(0, 2, 1)
    sh = np.concatenate([stack([f"f_dc_{i}" for i in range(3)])[:, None], rest], axis=1)
    fields = {
        "means": stack("xyz"),
        "quats": quats / norms,
        "scales": np.exp(stack([f"scale_{i}" for i in range(3)])),
        "opacities": torch.from_numpy(table["opacity"].astype(np.float64)).sigmoid().numpy(),
        "sh": sh,
    }
    return Gaussians(**{k: torch.from_numpy(v).to(torch.float32) for k, v in fields.items()})


def _says_opengl(ply: PlyData) -> bool:
    return any(c.startswith("world axes: opengl") for c in ply.comments)
