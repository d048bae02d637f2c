"""Reading SPZ, Niantic's packed format (github.com/nianticlabs/spz, "File Format").

Versions 2 and 3 are one gzip stream: 16 bytes of header, then an array an attribute. Version 4 has
a plain header of 32 bytes, extensions, and a Zstandard stream an attribute. The axes are right, up,
back, unless an extension of version 4 names others.
"""

import struct

import numpy as np
import torch
import zstandard

from videorfsplat.formats.compressed_ply import unpack_quats
from videorfsplat.formats.files import gunzip, inflation_limit
from videorfsplat.formats.splat_rows import SplatRows
from videorfsplat.geometry.gaussians import Gaussians, transform_gaussians

GZIP = b"\x1f\x8b"
MAGIC = b"NGSP"
RUB = "RUB"

_SYSTEMS = (
    *("", "LDB", "RDB", "LUB", "RUB", "LDF", "RDF", "LUF", "RUF"),
    *("LFD", "RFD", "LFU", "RFU", "LBD", "RBD", "LBU", "RBU"),
)
"""Names of axes by their number in the extension: where x, y and z point."""
_AXES_EXTENSION = 0xADBE0003
_HAS_EXTENSIONS = 2
_COLOR_SCALE = 0.15
_COEFFICIENTS = (0, 3, 8, 15)
# Where the letters of a system point in OpenCV's axes: right, down, forward.
_DIRECTIONS = {
    **{"R": (1, 0, 0), "L": (-1, 0, 0), "D": (0, 1, 0), "U": (0, -1, 0)},
    **{"F": (0, 0, 1), "B": (0, 0, -1)},
}
# Sign of each real spherical harmonic of 3DGS when x changes its sign.
_MIRRORED_SH = (1, 1, 1, -1, -1, 1, 1, -1, 1, 1, -1, 1, 1, -1, 1, -1)


def spz_rows(data: bytes, *, trusted: bool = False) -> tuple[SplatRows, str]:
    """What an SPZ file says of its Gaussians, and its axes, such as "RUB".

    Args:
        data: the file.
        trusted: without limits on what it unpacks to.

    Raises:
        ValueError: not SPZ, damaged, or of a version that is not read.
    """
    if data.startswith(GZIP):
        data = gunzip(data, trusted=trusted)
        system, parts, version, degree, bits = _legacy_parts(data)
    else:
        system, parts, version, degree, bits = _parts(data, trusted)
    positions, alphas, colors, scales, rotations, harmonics = parts
    count, num_rest = len(alphas), _COEFFICIENTS[degree]
    base = (colors.reshape(count, 3) / 255 - 0.5) / _COLOR_SCALE
    rest = (harmonics.reshape(count, num_rest, 3) - 128.0) / 128
    rows = SplatRows(
        means=_fixed_point(positions.reshape(count, 3, 3)) / 2.0**bits,
        quats=_first_three(rotations) if version == 2 else _smallest_three(rotations),
        scales=np.exp(scales.reshape(count, 3) / 16 - 10),
        opacities=alphas / 255,
        sh=np.concatenate([base[:, None], rest], axis=1),
    )
    return rows, system


def from_system(gaussians: Gaussians, system: str) -> Gaussians:
    """Gaussians of a world with the named axes in the package's, "RDF"; harmonics turn along.

    Args:
        gaussians: the scene.
        system: where x, y and z point, such as "RUB"; left-handed ones are mirrored.
    """
    turn = torch.tensor([_DIRECTIONS[letter] for letter in system], dtype=torch.float64).T
    if torch.linalg.det(turn) < 0:
        mirror = torch.tensor([-1.0, 1.0, 1.0])
        signs = torch.tensor(_MIRRORED_SH[: gaussians.sh.shape[1]])
        gaussians = Gaussians(
            means=gaussians.means * mirror,
            quats=gaussians.quats * torch.tensor([1.0, 1.0, -1.0, -1.0]),
            scales=gaussians.scales,
            opacities=gaussians.opacities,
            sh=gaussians.sh * signs[:, None],
        )
        turn = turn * mirror.double()
    return transform_gaussians(gaussians, turn.float(), torch.zeros(3))


_Parts = tuple[str, list[np.ndarray], int, int, int]
"""Axes; bytes of positions, alphas, colours, scales, rotations and harmonics; version, degree and
bits of a coordinate after the point."""


def _legacy_parts(data: bytes) -> _Parts:
    magic, version, count, degree, bits, _, _ = struct.unpack_from("<4sIIBBBB", data)
    if magic != MAGIC:
        raise ValueError("not an SPZ file")
    if version not in (2, 3):
        raise ValueError(f"SPZ version {version}; versions 2, 3 and 4 are read")
    sizes = _sizes(count, version, degree)
    if len(data) < 16 + sum(sizes):
        raise ValueError(f"damaged: {count} Gaussians take {sum(sizes)} bytes, not {len(data)}")
    ends = 16 + np.cumsum(sizes)
    parts = [
        np.frombuffer(data, np.uint8, size, end - size)
        for size, end in zip(sizes, ends.tolist(), strict=True)
    ]
    return RUB, parts, version, degree, bits


def _parts(data: bytes, trusted: bool) -> _Parts:
    header = struct.unpack_from("<4sIIBBBBI", data)
    magic, version, count, degree, bits, flags, num_streams, table = header
    if magic != MAGIC or version != 4:
        raise ValueError(f"not an SPZ file, or of a version that is not read ({version})")
    sizes = [size for size in _sizes(count, version, degree) if size]
    if sum(sizes) > inflation_limit(len(data), trusted):
        raise ValueError(f"damaged: {count} Gaussians in {len(data)} bytes")
    if num_streams < len(sizes):
        raise ValueError(f"damaged: {num_streams} streams, expected {len(sizes)}")
    system = _stated_axes(data[32:table]) if flags & _HAS_EXTENSIONS else RUB
    place, parts = table + 16 * num_streams, []
    for i, size in enumerate(sizes):
        packed, _ = struct.unpack_from("<QQ", data, table + 16 * i)
        if packed > len(data) - place:
            raise ValueError("damaged: it ends too early")
        parts.append(_unpack(data[place : place + packed], size))
        place += packed
    if not _COEFFICIENTS[degree]:
        parts.append(np.empty(0, np.uint8))
    return system, parts, version, degree, bits


def _sizes(count: int, version: int, degree: int) -> list[int]:
    if degree >= len(_COEFFICIENTS):
        raise ValueError(f"spherical harmonics of degree {degree}, at most 3 are read")
    rotation = 3 if version == 2 else 4
    return [count * width for width in (9, 1, 3, 3, rotation, 3 * _COEFFICIENTS[degree])]


def _unpack(stream: bytes, size: int) -> np.ndarray:
    try:
        with zstandard.ZstdDecompressor().stream_reader(stream) as reader:
            content = reader.read(size + 1)
    except zstandard.ZstdError as error:
        raise ValueError(f"damaged: {error}") from error
    if len(content) != size:
        raise ValueError("damaged: a stream does not have the size of its attribute")
    return np.frombuffer(content, np.uint8)


def _stated_axes(extensions: bytes) -> str:
    """Axes that the records of the header name."""
    place = 0
    while place + 8 <= len(extensions):
        kind, size = struct.unpack_from("<II", extensions, place)
        if kind == _AXES_EXTENSION:
            (number,) = struct.unpack_from("<I", extensions, place + 8)
            if number >= len(_SYSTEMS):
                raise ValueError(f"axes of the unknown number {number}")
            return _SYSTEMS[number] or RUB
        place += 8 + size
    return RUB


def _fixed_point(values: np.ndarray) -> np.ndarray:
    """Signed numbers of three bytes, little-endian."""
    low, middle, high = np.moveaxis(values.astype(np.int32), -1, 0)
    return (low | middle << 8 | high << 16) - ((high & 0x80) << 17)


def _first_three(rotations: np.ndarray) -> np.ndarray:
    smaller = rotations.reshape(-1, 3) / 127.5 - 1
    return unpack_quats(smaller, np.zeros(len(smaller), np.int64))


def _smallest_three(rotations: np.ndarray) -> np.ndarray:
    """Two bits name the largest of x, y, z, w; ten bits each, sign first, are the others."""
    words = rotations.view("<u4").astype(np.int64)
    fields = np.stack([words >> 20, words >> 10, words], axis=-1) & 1023
    smaller = np.where(fields & 512, -1, 1) * (fields & 511) / 511 * 0.5**0.5
    # The order is x, y, z, w: w, the last, comes first here.
    xyzw = unpack_quats(smaller, words >> 30)
    return np.roll(xyzw, 1, axis=1)
