"""Small files for viewers: compressed PLY, SPZ, SOG and .splat.

gaussforge writes them. What is read may come from strangers, so it is read in Python and NumPy,
whose mistakes end in an error and not in the process; what a file is, its contents tell.

All formats quantise. What each keeps (measured with gaussforge 0.6.0):

- `.compressed.ply`: centres with 11/10/11 bits of the box of 256 neighbours, log-scales with as
  many of their range in it; spherical harmonics of all degrees with 8 bits of [−4, 4].
- `.spz`: centres in steps of 1/4096 within ±2048, log-scales in steps of 1/16 within [−10, 6);
  spherical harmonics of [−1, 1], degree 1 with 5 bits, above with 4.
- `.sog`: sign(x) · log(1 + |x|) of the centres with 16 bits of its range, log-scales from a palette
  of 256 values; spherical harmonics from a palette of whole sets, with a noticeable loss.
- `.splat`: centres and log-scales in float32; no spherical harmonics, only the base colour clamped
  to [0, 1].

Opacities and base colours have 8 bits everywhere. `.compressed.ply` and `.sog` change the order of
the Gaussians. SPZ has axes of its own, +x right, +y up, +z back; the world axes of the others are
those of the PLY.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from gaussforge import GaussForge

from videorfsplat.formats import sog
from videorfsplat.formats.axes import Axes, gaussians_in_axes
from videorfsplat.formats.compressed_ply import compressed_rows, is_compressed
from videorfsplat.formats.files import gunzip, reading, write_file
from videorfsplat.formats.ply import (
    bytes_as_file,
    open_ply,
    ply_bytes,
    read_ply,
    save_ply,
)
from videorfsplat.formats.splat_rows import SplatFile, SplatRows, check_rows
from videorfsplat.formats.spz import GZIP, MAGIC, from_system, spz_rows
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.spherical_harmonics import SH_C0

logger = logging.getLogger(__name__)

SUFFIXES = (".compressed.ply", ".ply", ".spz", ".sog", ".splat")
"""What `save_splats` chooses the format by; the first that fits counts."""

SPZ_LIMIT = 2048.0
"""SPZ holds coordinates as 24-bit fixed point with 12 bits after the point."""


def save_splats(
    gaussians: Gaussians, path: str | Path, *, axes: Axes = "opencv", sh_degree: int | None = None
) -> None:
    """Write Gaussians in the format that the suffix of `path` names, one of `SUFFIXES`.

    SOG clusters the spherical harmonics: seconds at degree 0, minutes above it.

    Args:
        gaussians: what to write.
        path: file; its folder is made if needed.
        axes: world axes of the file; SPZ has its own (`SUFFIXES` above).
        sh_degree: of a .ply, as in `save_ply`.

    Raises:
        ValueError: if the suffix is unknown, there is nothing to write, a value is not finite or
            out of range, or the format cannot hold a value.
    """
    suffix = splat_suffix(path)
    if suffix == ".ply":
        return save_ply(gaussians, path, axes=axes, sh_degree=sh_degree)
    if sh_degree is not None:
        raise ValueError(f"only .ply can be given a degree of spherical harmonics, not {suffix}")
    if len(gaussians) == 0:
        raise ValueError(f"{suffix} cannot hold a scene without Gaussians")
    if suffix == ".spz" and not (gaussians.means.abs() < SPZ_LIMIT).all():
        largest = float(gaussians.means.abs().max())
        raise ValueError(f".spz holds coordinates below {SPZ_LIMIT:g}, got {largest:g}")
    # Its readers take y to point up, whatever a person asked for.
    axes = "opengl" if suffix == ".spz" else axes
    gaussians = gaussians_in_axes(gaussians.detach().to("cpu"), axes)
    if suffix == ".compressed.ply":
        gaussians = _for_compressed_ply(gaussians)
    if suffix == ".splat" and gaussians.sh.shape[1] > 1:
        logger.warning(".splat keeps the base colour only: view dependence is not in %s", path)
    if suffix == ".sog" and gaussians.sh.shape[1] > 1:
        logger.warning(
            "clustering the view dependence of %d Gaussians for %s", len(gaussians), path
        )
    data = _convert(ply_bytes(gaussians), suffix[1:], str(path))
    if suffix == ".sog":
        _check_sog(data, str(path))
    write_file(path, data)


def load_splats(path: str | Path) -> Gaussians:
    """The Gaussians of a file. See `read_splats`."""
    return read_splats(path).gaussians


def read_splats(path: str | Path, *, strict: bool = False, trusted: bool = False) -> SplatFile:
    """Read Gaussians, float32, from a PLY, compressed PLY, SPZ, SOG or .splat file.

    The contents tell the format, not the name, but for .splat, which has no mark; all may be
    packed with gzip. SOG is also read unbundled, by its `meta.json`. Only a .ply and an SPZ of
    version 4 can state their axes. An SPZ without them has +y up, and so is turned; others are
    taken as they are.

    Args:
        path: the file.
        strict: refuse a file with rows that mean nothing instead of leaving them out
            (`check_rows`).
        trusted: without limits on what a packed file becomes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and what is wrong with it.
    """
    path = Path(path)
    with reading(path):
        if path.name.lower() == sog.META_NAME:
            return check_rows(sog.unbundled_rows(path, trusted=trusted), str(path), strict=strict)
        data = path.read_bytes()
        if data.startswith(GZIP):
            unpacked = gunzip(data, trusted=trusted)
            data = data if unpacked.startswith(MAGIC) else unpacked
        return _read(data, path, strict, trusted)


def _read(data: bytes, path: Path, strict: bool, trusted: bool) -> SplatFile:
    name = str(path)
    if data.startswith(b"ply"):
        return _read_any_ply(data, name, strict)
    if data.startswith((GZIP, MAGIC)):
        rows, system = spz_rows(data, trusted=trusted)
        found = check_rows(rows, name, strict=strict)
        return replace(found, gaussians=from_system(found.gaussians, system))
    if data.startswith(sog.ZIP):
        return check_rows(sog.sog_rows(data, trusted=trusted), name, strict=strict)
    if path.name.lower().removesuffix(".gz").endswith(".splat"):
        return check_rows(_splat_rows(data), name, strict=strict)
    raise ValueError(f"not a splat file: expected the contents of one of {', '.join(SUFFIXES)}")


def _read_any_ply(data: bytes, name: str, strict: bool) -> SplatFile:
    with bytes_as_file(data) as stream:
        ply = open_ply(stream)
        if is_compressed(ply):
            return check_rows(compressed_rows(ply), name, strict=strict)
        return read_ply(stream, name, strict=strict)


_SPLAT = np.dtype(
    [("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quats", "u1", 4)]
)


def _splat_rows(data: bytes) -> SplatRows:
    """What a .splat says: 32 bytes a Gaussian, nothing before or after."""
    if not data or len(data) % _SPLAT.itemsize:
        raise ValueError(f"not a .splat file: {len(data)} bytes, expected a multiple of 32")
    table = np.frombuffer(data, _SPLAT)
    return SplatRows(
        means=table["means"],
        quats=(table["quats"].astype(np.float64) - 128) / 128,
        scales=table["scales"],
        opacities=table["rgba"][:, 3] / 255,
        sh=((table["rgba"][:, None, :3] / 255) - 0.5) / SH_C0,
    )


def _check_sog(data: bytes, name: str) -> None:
    """Refuse what cannot be read back: the writer does not look whether its ranges are finite."""
    try:
        check_rows(sog.sog_rows(data, trusted=True), name, strict=True)
    except ValueError as error:
        raise ValueError(f"{name}: .sog cannot hold these values ({error})") from error


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


def _convert(ply: bytes, target: str, name: str) -> bytes:
    """A PLY of our own in another format."""
    with _native_output_on_stderr():
        result = GaussForge().convert(ply, "ply", target)
    if "error" in result:
        raise ValueError(f"{name}: {result['error']}")
    if not result["data"]:
        raise ValueError(f"{name} could not be written as .{target}")
    return bytes(result["data"])


@contextmanager
def _native_output_on_stderr() -> Iterator[None]:
    """Send what C++ prints to standard error: on standard output, a program that promises JSON must
    be alone."""
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
