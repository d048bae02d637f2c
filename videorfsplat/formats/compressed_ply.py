"""Reading compressed PLY, the format of PlayCanvas and SuperSplat.

256 neighbours share a row of the element `chunk`: the box of their centres, the range of their
logarithms of scales and, since SuperSplat 1.9, that of their colours. Each Gaussian is four
32-bit words of fixed-point numbers in these ranges; the element `sh`, if there is one, holds
`f_rest_*` as bytes (developer.playcanvas.com, "Compressed PLY").
"""

import numpy as np
from plyfile import PlyData

from videorfsplat.formats.splat_rows import SplatRows
from videorfsplat.geometry.spherical_harmonics import SH_C0

_CHUNK = 256
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_SH_RANGE = 8.0
"""Coefficients lie in ±4."""


def is_compressed(ply: PlyData) -> bool:
    """Whether a PLY is of this format, whatever its file is called."""
    return "chunk" in ply and "packed_position" in ply["vertex"].data.dtype.names


def compressed_rows(ply: PlyData) -> SplatRows:
    """What a compressed PLY says of its Gaussians.

    Raises:
        ValueError: if a property or chunks are missing.
    """
    table, chunks = ply["vertex"].data, ply["chunk"].data
    missing = [name for name in _PACKED if name not in table.dtype.names]
    if missing:
        raise ValueError(f"not a compressed PLY: property {', '.join(missing)} is missing")
    place = np.arange(len(table)) // _CHUNK
    if len(table) > _CHUNK * len(chunks):
        raise ValueError(f"damaged: {len(chunks)} chunks of {_CHUNK} for {len(table)} Gaussians")

    def spread(unit: np.ndarray, names: str, axes: str) -> np.ndarray:
        low, high = (
            np.stack([chunks[f"{end}_{names}{axis}"].astype(np.float64) for axis in axes], axis=-1)
            for end in ("min", "max")
        )
        return low[place] + unit * (high - low)[place]

    words = [np.asarray(table[name], np.uint32).astype(np.int64) for name in _PACKED]
    colors = _fields(words[3], (8, 8, 8, 8))
    base = colors[:, :3]
    if "min_r" in chunks.dtype.names:
        base = spread(base, "", "rgb")
    base = (base - 0.5) / SH_C0
    with np.errstate(over="ignore", invalid="ignore"):
        scales = np.exp(spread(_fields(words[2], (11, 10, 11)), "scale_", "xyz"))
        return SplatRows(
            means=spread(_fields(words[0], (11, 10, 11)), "", "xyz"),
            quats=unpack_quats(
                (_fields(words[1], (2, 10, 10, 10))[:, 1:] - 0.5) * 2**0.5, words[1] >> 30
            ),
            scales=scales,
            opacities=colors[:, 3],
            sh=np.concatenate([base[:, None], _harmonics(ply, len(table))], axis=1),
        )


def unpack_quats(smaller: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Unit quaternions, wxyz, of which the largest component was not stored.

    Args:
        smaller: [n, 3], the others in their order.
        largest: [n], the place of the one that is missing; 0 is w.
    """
    missing = np.sqrt(np.maximum(0, 1 - (smaller**2).sum(axis=1)))
    order = np.arange(3)[None] + (np.arange(3)[None] >= largest[:, None])
    quats = np.empty((len(smaller), 4))
    np.put_along_axis(quats, order, smaller, axis=1)
    np.put_along_axis(quats, largest[:, None], missing[:, None], axis=1)
    return quats


def _fields(words: np.ndarray, bits: tuple[int, ...]) -> np.ndarray:
    """Fixed-point numbers from 0 to 1, the first in the highest bits."""
    columns, shift = [], 32
    for width in bits:
        shift -= width
        columns.append(((words >> shift) & (2**width - 1)) / (2**width - 1))
    return np.stack(columns, axis=-1)


def _harmonics(ply: PlyData, count: int) -> np.ndarray:
    """Coefficients above degree 0, [n, k - 1, 3]."""
    if "sh" not in ply:
        return np.empty((count, 0, 3))
    table = ply["sh"].data
    names = [f"f_rest_{i}" for i in range(len(table.dtype.names))]
    if len(names) not in (9, 24, 45) or set(names) != set(table.dtype.names):
        raise ValueError(f"{len(table.dtype.names)} properties of sh, expected 9, 24 or 45")
    if len(table) != count:
        raise ValueError(f"damaged: {len(table)} rows of sh for {count} Gaussians")
    raw = np.stack([table[name].astype(np.float32) for name in names], axis=-1)
    # A byte stands for the middle of its step, the outermost two for the ends.
    unit = np.where(raw == 0, 0, np.where(raw == 255, 1, (raw + 0.5) / 256))
    return ((unit - 0.5) * _SH_RANGE).reshape(count, 3, len(names) // 3).transpose(0, 2, 1)
