"""Small files for viewers: compressed PLY, SPZ, SOG and .splat, through gaussforge.

All of them quantise. What each keeps (measured with gaussforge 0.6.0):

- `.compressed.ply`: centres with 11/10/11 bits of the box of 256 neighbours, log-scales with as
  many of their range in it; spherical harmonics of all degrees with 8 bits of [−4, 4].
- `.spz`: centres in steps of 1/4096 within ±2048, log-scales in steps of 1/16 within [−10, 6);
  spherical harmonics of [−1, 1], degree 1 with 5 bits, above with 4.
- `.sog`: sign(x) · log(1 + |x|) of the centres with 16 bits of its range, log-scales from a palette
  of 256 values; spherical harmonics from a palette of whole sets, with a noticeable loss.
- `.splat`: centres and log-scales in float32; no spherical harmonics, only the base colour clamped
  to [0, 1].

Opacities and base colours have 8 bits everywhere. `.compressed.ply` and `.sog` change the order of
the Gaussians. World axes are those of the PLY in every format.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from gaussforge import GaussForge

from videorfsplat.formats.axes import Axes, gaussians_in_axes
from videorfsplat.formats.files import write_file
from videorfsplat.formats.ply import load_ply, parse_ply, ply_bytes, save_ply
from videorfsplat.geometry.gaussians import Gaussians

logger = logging.getLogger(__name__)

SUFFIXES = (".compressed.ply", ".ply", ".spz", ".sog", ".splat")
"""What `save_splats` and `load_splats` choose the format by; the first that fits counts."""

SPZ_LIMIT = 2048.0
"""SPZ holds coordinates as 24-bit fixed point with 12 bits after the point."""


def save_splats(gaussians: Gaussians, path: str | Path, *, axes: Axes = "opencv") -> None:
    """Write Gaussians in the format that the suffix of `path` names, one of `SUFFIXES`.

    SOG clusters the spherical harmonics: seconds at degree 0, minutes above it.

    Raises:
        ValueError: if the suffix is unknown, there is nothing to write, a value is not finite or
            out of range, or the format cannot hold a coordinate.
    """
    suffix = splat_suffix(path)
    if suffix == ".ply":
        return save_ply(gaussians, path, axes=axes)
    if len(gaussians) == 0:
        raise ValueError(f"{suffix} cannot hold a scene without Gaussians")
    if suffix == ".spz" and not (gaussians.means.abs() < SPZ_LIMIT).all():
        largest = float(gaussians.means.abs().max())
        raise ValueError(f".spz holds coordinates below {SPZ_LIMIT:g}, got {largest:g}")
    gaussians = gaussians_in_axes(gaussians.detach().to("cpu"), axes)
    if suffix == ".compressed.ply":
        gaussians = _for_compressed_ply(gaussians)
    if suffix == ".splat" and gaussians.sh.shape[1] > 1:
        logger.warning(".splat keeps the base colour only: view dependence is not in %s", path)
    if suffix == ".sog" and gaussians.sh.shape[1] > 1:
        logger.warning(
            "clustering the view dependence of %d Gaussians for %s", len(gaussians), path
        )
    data = _convert(ply_bytes(gaussians), "ply", suffix[1:], str(path))
    write_file(path, data)


def load_splats(path: str | Path) -> Gaussians:
    """Read Gaussians, float32, from a file with one of `SUFFIXES`.

    Only a .ply can say that its axes are OpenGL's; other files are taken as they are.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the suffix is unknown, or naming the file and what is wrong with it.
    """
    suffix = splat_suffix(path)
    if suffix == ".ply":
        return load_ply(path)
    data = Path(path).read_bytes()
    return parse_ply(_convert(data, suffix[1:], "ply", str(path)), str(path))


def splat_suffix(path: str | Path) -> str:
    """The one of `SUFFIXES` that `path` ends in, whatever its case.

    Raises:
        ValueError: if it ends in none.
    """
    name = Path(path).name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise ValueError(f"{path}: unknown splat format, expected one of {', '.join(SUFFIXES)}")


def _convert(data: bytes, source: str, target: str, name: str) -> bytes:
    with _native_output_on_stderr():
        result = GaussForge().convert(data, source, target)
    if "error" in result:
        raise ValueError(f"{name}: {result['error']}")
    # Some damaged files give no error but no contents either.
    if not result["data"]:
        raise ValueError(f"{name} is not a .{source} file, or damaged")
    return bytes(result["data"])


@contextmanager
def _native_output_on_stderr() -> Iterator[None]:
    """Send what C++ prints to standard error: the SPZ reader reports on standard output, where a
    program that promises JSON must be alone."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def _for_compressed_ply(gaussians: Gaussians) -> Gaussians:
    """Reorder so that gaussforge's compressed PLY is precise and right.

    Neighbours in the file share one box, so they should be neighbours in space. And gaussforge
    0.6.0 writes f_rest_* coefficient by coefficient where the format (and its own reader) has
    channel by channel; transposing beforehand cancels that.
    """
    gaussians = gaussians[torch.from_numpy(_morton_order(gaussians.means.double().numpy()))]
    rest = gaussians.sh[:, 1:]  # [n, k, 3]
    sh = torch.cat([gaussians.sh[:, :1], rest.mT.reshape(rest.shape)], dim=1)
    return Gaussians(gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, sh)


def _morton_order(points: np.ndarray) -> np.ndarray:
    """Indices that sort `points` [n, 3] along a Z-order curve of 21 bits a coordinate."""
    low = points.min(axis=0)
    extent = np.maximum(points.max(axis=0) - low, np.finfo(np.float64).tiny)
    cells = ((points - low) / extent * (2**21 - 1)).astype(np.uint64)
    code = np.zeros(len(points), dtype=np.uint64)
    for bit in range(21):
        for axis in range(3):
            digit = (cells[:, axis] >> np.uint64(bit)) & np.uint64(1)
            code |= digit << np.uint64(3 * bit + axis)
    return np.argsort(code, kind="stable")
