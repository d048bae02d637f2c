"""Figures over many scenes, with bootstrap confidence intervals.

Every figure here is a ratio of sums over scenes: a mean has the number of scenes below, a share of
attributes the number of attributes that were stated.
"""

from collections.abc import Callable, Sequence
from typing import TypedDict

import numpy as np

RESAMPLES = 1000
CONFIDENCE = 0.95
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)

Terms = Sequence[tuple[float, float]]
"""What each scene adds above and below the line."""


class Figure(TypedDict):
    """A value with its confidence interval; `None` where it is undefined."""

    value: float | None
    low: float | None
    high: float | None


def ratio_figure(terms: Terms) -> Figure:
    """Σ above / Σ below."""
    return _figure(np.array(terms, dtype=np.float64).reshape(-1, 2), _ratio)


def difference_figure(terms: Terms, baseline: Terms) -> Figure:
    """The ratio of one run minus that of another, resampled in pairs.

    Raises:
        ValueError: if the runs do not have the same scenes.
    """
    if len(terms) != len(baseline):
        raise ValueError(f"expected {len(baseline)} scenes, as in the baseline, got {len(terms)}")
    pairs = np.concatenate([np.array(terms), np.array(baseline)], axis=-1, dtype=np.float64)
    return _figure(pairs, lambda t: _ratio(t[..., :2]) - _ratio(t[..., 2:]))


def statistic_figure(count: int, statistic: Callable[[np.ndarray], float]) -> Figure:
    """Any figure of `count` scenes, biased ones included: the interval is the basic bootstrap's.

    Args:
        count: of scenes.
        statistic: the figure of the scenes with these indices.
    """
    rng = np.random.default_rng(0)
    value = statistic(np.arange(count))
    drawn = [statistic(rng.integers(count, size=count)) for _ in range(RESAMPLES // 10)]
    # A resample repeats scenes, which shifts some statistics; the basic interval takes that off.
    low, high = 2 * value - np.quantile(drawn, _TAILS[::-1])
    return _plain(value, low, high)


def _figure(rows: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> Figure:
    """A statistic of rows [..., n, k] over their scenes n, with its percentile interval."""
    if len(rows) < 2:
        value = float(statistic(rows)) if len(rows) else float("nan")
        return _plain(value, value, value)
    drawn = np.random.default_rng(0).integers(len(rows), size=(RESAMPLES, len(rows)))
    values = statistic(rows[drawn])
    # A resample may hold no scene that speaks of what is counted.
    values = values[np.isfinite(values)]
    if not len(values):
        return _plain(float("nan"), float("nan"), float("nan"))
    low, high = np.quantile(values, _TAILS)
    return _plain(float(statistic(rows)), low, high)


def _ratio(terms: np.ndarray) -> np.ndarray:
    above, below = terms[..., 0].sum(axis=-1), terms[..., 1].sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(above / below)


def _plain(value: float, low: float, high: float) -> Figure:
    plain = [
        float(f"{number:.6g}") if np.isfinite(number) else None for number in (value, low, high)
    ]
    return {"value": plain[0], "low": plain[1], "high": plain[2]}
