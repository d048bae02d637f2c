"""From the rows of a splat file to Gaussians: rows without meaning are left out and counted."""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from videorfsplat.geometry.gaussians import Gaussians

logger = logging.getLogger(__name__)

FLAT_SCALE = 1e-6
"""Scale of a direction in which a splat has no extent: the third of 2DGS, and what was zero."""

# Below this a float32 quaternion has no direction left.
_MIN_QUAT_NORM = 1e-12


@dataclass(frozen=True)
class SplatRows:
    """What a file says of N Gaussians, activated, nothing checked."""

    means: Float[np.ndarray, "n 3"]
    quats: Float[np.ndarray, "n 4"]
    """wxyz, of any length."""
    scales: Float[np.ndarray, "n 3"]
    opacities: Float[np.ndarray, " n"]
    sh: Float[np.ndarray, "n k 3"]


@dataclass(frozen=True)
class SplatFile:
    """The Gaussians of a file, and what was wrong with it."""

    gaussians: Gaussians
    """World frame, the package's axes, float32."""
    dropped: int = 0
    """Rows left out: a value that is not finite, or a quaternion without a direction."""
    flattened: int = 0
    """Rows with a scale of zero, which became `FLAT_SCALE`."""


def check_rows(rows: SplatRows, name: str, *, strict: bool = False) -> SplatFile:
    """Gaussians of the rows that mean something.

    Args:
        rows: of a file.
        name: of the file, for messages.
        strict: refuse a file with a bad row instead of leaving the row out.

    Raises:
        ValueError: naming the file: it has rows but no good one, or, if `strict`, a bad one.
    """
    with np.errstate(all="ignore"):
        values = {key: np.asarray(value, np.float32) for key, value in vars(rows).items()}
        norms = np.linalg.norm(np.asarray(rows.quats, np.float64), axis=1, keepdims=True)
        values["quats"] = (rows.quats / norms).astype(np.float32)
    bad = ~(norms[:, 0] >= _MIN_QUAT_NORM)
    for value in values.values():
        bad |= ~np.isfinite(value).all(axis=tuple(range(1, value.ndim)))
    values["opacities"] = values["opacities"].clip(0, 1)
    flat = (values["scales"] <= 0).any(axis=1) & ~bad
    values["scales"] = np.where(values["scales"] <= 0, FLAT_SCALE, values["scales"])
    _report(name, values, norms[:, 0], bad, flat, strict)
    kept = {key: torch.from_numpy(np.ascontiguousarray(v[~bad])) for key, v in values.items()}
    return SplatFile(Gaussians(**kept), int(bad.sum()), int(flat.sum()))


def _report(
    name: str,
    values: dict[str, np.ndarray],
    norms: Float[np.ndarray, " n"],
    bad: Bool[np.ndarray, " n"],
    flat: Bool[np.ndarray, " n"],
    strict: bool,
) -> None:
    count = len(bad)
    if bad.any():
        row = int(bad.argmax())
        reason = _reason(values, norms, row)
        if strict or bad.all():
            raise ValueError(f"{name}: {reason} (row {row + 1}; {bad.sum()} of {count} rows)")
        logger.warning(
            "%s: %d of %d Gaussians left out, the first is row %d: %s",
            *(name, bad.sum(), count, row + 1, reason),
        )
    if flat.any():
        row = int(flat.argmax())
        if strict:
            raise ValueError(f"{name}: scales must be positive (row {row + 1})")
        logger.warning("%s: %d of %d Gaussians have a scale of zero", name, flat.sum(), count)


def _reason(values: dict[str, np.ndarray], norms: Float[np.ndarray, " n"], row: int) -> str:
    if norms[row] < _MIN_QUAT_NORM:
        return "a quaternion (rot_0..3) is zero"
    field = next(key for key, value in values.items() if not np.isfinite(value[row]).all())
    return f"{field} holds a value that is not finite"
