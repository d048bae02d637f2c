"""3D Gaussian Splatting PLY: the layout of INRIA's reference code, which every viewer opens.

One float32 record per Gaussian: `x y z`, `nx ny nz` (zero), `f_dc_0..2`, `f_rest_*` (channel-major:
all coefficients of red, then green, then blue), `opacity` (logit), `scale_0..2` (logarithms),
`rot_0..3` (wxyz). Logarithms and logits exist only in these files.

What is read may also be 2D splats (two scales), have `red green blue` instead of `f_dc_*`, or no
opacity.
"""

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from plyfile import PlyData, PlyElement

from videorfsplat.formats.axes import Axes, gaussians_in_axes
from videorfsplat.formats.files import reading, write_file
from videorfsplat.formats.splat_rows import FLAT_SCALE, SplatFile, SplatRows, check_rows
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.spherical_harmonics import SH_C0

OPACITY_EPS = 1e-6
"""Opacities are clamped to [eps, 1 − eps] before the logit, which 0 and 1 do not have; the change
is far below a step of an 8-bit picture."""

AXES_COMMENT = {
    "opencv": "world axes: opencv (+x right, +y down, +z forward)",
    "opengl": "world axes: opengl (+x right, +y up, +z back)",
}

MAX_HEADER_BYTES = 2**18
"""Real headers have some thousand bytes; longer ones take plyfile minutes."""

_COORDINATES = ("x", "y", "z")
_SCALES = ("scale_0", "scale_1", "scale_2")
_QUATERNION = ("rot_0", "rot_1", "rot_2", "rot_3")
_BASE = ("f_dc_0", "f_dc_1", "f_dc_2")
_COLORS = ("red", "green", "blue")
_SH_COEFFICIENTS = {0: 1, 9: 4, 24: 9, 45: 16}
MAX_SH_DEGREE = 3


def save_ply(
    gaussians: Gaussians,
    path: str | Path,
    comments: Sequence[str] = (),
    *,
    axes: Axes = "opencv",
    sh_degree: int | None = None,
) -> None:
    """Write Gaussians (world frame, float32) to `path`; a comment in the header states the axes.

    Args:
        gaussians: what to write.
        path: file; its folder is made if needed.
        comments: further header lines. Line breaks and letters outside ASCII, which a PLY header
            cannot hold, are written as Python escapes.
        axes: world axes of the file.
        sh_degree: degree of the spherical harmonics in the file, of zeros above those that there
            are. Some tools open nothing but degree 3 (45 properties `f_rest_*`).

    Raises:
        ValueError: if a value is not finite or out of range, or `sh_degree` is below the degree of
            the Gaussians or above 3.
    """
    write_file(path, ply_bytes(gaussians, comments, axes=axes, sh_degree=sh_degree))


def load_ply(path: str | Path, *, strict: bool = False) -> Gaussians:
    """Read Gaussians, float32, in the package's axes.

    Quaternions are normalised. A file whose comment says that its axes are OpenGL's is turned
    back; a file that says nothing is taken as it is. Rows without meaning are left out, with a
    warning (`check_rows`).

    Args:
        path: the file.
        strict: refuse a file with such a row.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what is wrong: not a PLY, damaged, a property missing, no
            good row.
    """
    with open(path, "rb") as stream:
        return read_ply(stream, str(path), strict=strict).gaussians


def ply_bytes(
    gaussians: Gaussians,
    comments: Sequence[str] = (),
    *,
    axes: Axes = "opencv",
    sh_degree: int | None = None,
) -> bytes:
    """The contents of the file that `save_ply` writes."""
    gaussians.check_values()
    gaussians = gaussians_in_axes(gaussians.detach().to("cpu"), axes)
    if sh_degree is not None:
        gaussians = _padded(gaussians, sh_degree)
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


def parse_ply(data: bytes, name: str, *, strict: bool = False) -> Gaussians:
    """Gaussians from the contents of a PLY file; `name` is what errors call it. See `load_ply`."""
    with bytes_as_file(data) as stream:
        return read_ply(stream, name, strict=strict).gaussians


@contextmanager
def bytes_as_file(data: bytes) -> Iterator[BinaryIO]:
    """A temporary file of these bytes, at its start.

    plyfile maps files into memory but walks through a `BytesIO` number by number, seconds long.
    """
    with tempfile.TemporaryFile() as stream:
        stream.write(data)
        stream.seek(0)
        yield stream


def read_ply(stream: BinaryIO, name: str, *, strict: bool = False) -> SplatFile:
    """The Gaussians of an open PLY file; `name` is what errors call it. See `load_ply`.

    Raises:
        ValueError: see `load_ply`.
    """
    with reading(name):
        ply = open_ply(stream)
        found = check_rows(_rows(ply["vertex"].data), name, strict=strict)
    axes = "opengl" if _says_opengl(ply) else "opencv"
    return replace(found, gaussians=gaussians_in_axes(found.gaussians, axes))


def open_ply(stream: BinaryIO) -> PlyData:
    """The tables of a PLY file, after a look at what its header promises.

    Raises:
        ValueError: not a PLY of splats: no vertices, a list of any element, damaged, or shorter
            than its header says.
    """
    _check_header(stream)
    stream.seek(0)
    return PlyData.read(stream)


def _check_header(stream: BinaryIO) -> None:
    size = stream.seek(0, 2)
    stream.seek(0)
    start = stream.read(MAX_HEADER_BYTES)
    if not start.startswith(b"ply"):
        raise ValueError("not a PLY file")
    header, end, _ = start.partition(b"end_header")
    if not end:
        raise ValueError(f"damaged: a PLY header ends within {MAX_HEADER_BYTES} bytes")
    lines = [line.split() for line in header.decode("ascii", "replace").splitlines()]
    is_text = ["format", "ascii", "1.0"] in lines
    promised, count, names = 0, 0, []
    for words in lines:
        if words[:1] == ["element"] and len(words) == 3:
            names, count = [*names, words[1]], int(words[2])
            if count < 0:
                raise ValueError(f"damaged: {count} rows of {words[1]}")
        elif words[:2] == ["property", "list"]:
            raise ValueError(
                f"not a 3DGS PLY: property {words[-1]} of {names[-1]} is a list, as in a mesh"
            )
        elif words[:1] == ["property"] and len(words) == 3:
            # A number in a text has a digit and an end at least.
            promised += count * (2 if is_text else _width(words[1]))
    if promised > size:
        raise ValueError(f"damaged: its header promises {promised} bytes, it has {size}")
    if "vertex" not in names:
        raise ValueError("not a 3DGS PLY: element vertex is missing")


def _width(kind: str) -> int:
    """Bytes of a number; what plyfile does not know it refuses itself."""
    widths = {1: "char uchar int8 uint8", 2: "short ushort int16 uint16", 8: "double float64"}
    return next((width for width, names in widths.items() if kind in names.split()), 4)


def _rows(table: np.ndarray) -> SplatRows:
    """Activate the properties; the activations are computed in double precision."""
    names = set(table.dtype.names or ())
    num_rest = sum(name.startswith("f_rest_") for name in names)
    if num_rest not in _SH_COEFFICIENTS:
        raise ValueError(f"{num_rest} properties f_rest_*, expected 0, 9, 24 or 45")
    rest_names = [f"f_rest_{i}" for i in range(num_rest)]
    has_colors = not names & set(_BASE) and names >= set(_COLORS)
    base_names = () if has_colors else _BASE
    required = (*_COORDINATES, *base_names, *_SCALES[:2], *_QUATERNION, *rest_names)
    missing = [name for name in required if name not in names]
    if missing:
        raise ValueError(f"not a 3DGS PLY: property {', '.join(missing)} is missing")

    def stack(columns: Sequence[str]) -> np.ndarray:
        values = [table[name].astype(np.float64) for name in columns]
        return np.stack(values, axis=-1) if values else np.empty((len(table), 0))

    base = _base_from_colors(table) if has_colors else stack(_BASE)
    rest = stack(rest_names).reshape(len(table), 3, num_rest // 3).transpose(0, 2, 1)
    with np.errstate(over="ignore"):
        scales = np.exp(stack([name for name in _SCALES if name in names]))
    if scales.shape[1] == 2:  # 2DGS
        scales = np.concatenate([scales, np.full((len(table), 1), FLAT_SCALE)], axis=1)
    opacities = np.ones(len(table))
    if "opacity" in names:
        logits = torch.from_numpy(table["opacity"].astype(np.float64))
        opacities = logits.sigmoid().numpy()
    return SplatRows(
        means=stack(_COORDINATES),
        quats=stack(_QUATERNION),
        scales=scales,
        opacities=opacities,
        sh=np.concatenate([base[:, None], rest], axis=1),
    )


def _base_from_colors(table: np.ndarray) -> np.ndarray:
    """f_dc_0..2 of colours: bytes up to 255, or numbers from 0 to 1."""
    colors = np.stack([table[name].astype(np.float64) for name in _COLORS], axis=-1)
    largest = 1.0 if table.dtype["red"].kind == "f" else float(np.iinfo(table.dtype["red"]).max)
    return (colors / largest - 0.5) / SH_C0


def _padded(gaussians: Gaussians, degree: int) -> Gaussians:
    """The same with spherical harmonics of a higher degree, all zero."""
    count = (degree + 1) ** 2
    if degree > MAX_SH_DEGREE or count < gaussians.sh.shape[1]:
        least = round(gaussians.sh.shape[1] ** 0.5) - 1
        raise ValueError(f"sh_degree must lie in [{least}, {MAX_SH_DEGREE}], got {degree}")
    zeros = gaussians.sh.new_zeros(len(gaussians), count - gaussians.sh.shape[1], 3)
    return replace(gaussians, sh=torch.cat([gaussians.sh, zeros], dim=1))


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


def _says_opengl(ply: PlyData) -> bool:
    return any(c.startswith("world axes: opengl") for c in ply.comments)
