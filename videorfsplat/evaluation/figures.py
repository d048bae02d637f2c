"""From measurements of many scenes to figures with confidence intervals, by the bootstrap.

A figure is a ratio of sums over scenes: a mean has the number of scenes below, a share of
attributes the number of attributes that were stated.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.evaluation.measures import count_right, count_stated, direction

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


class FrechetDistance:
    """Squared 2-Wasserstein distance to a reference, of Gaussians with the sets' moments.

    |μ₁ − μ₂|² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₂^½ Σ₁ Σ₂^½)^½ (Dowson and Landau 1982; FID's formula). The
    fewer features, the larger it comes out: compare distances of sets of one size.

    Args:
        reference: the set that distances are taken to.

    Raises:
        ValueError: if a set has fewer than two features.
    """

    def __init__(self, reference: Float[Tensor, "m d"]) -> None:
        self._mean, deviations = _moments(reference)
        # RᵀR is the covariance. Taken once: bootstrap compares many sets with one reference.
        self._factor = torch.linalg.qr(deviations, mode="r").R
        self._trace = deviations.square().sum()

    def __call__(self, features: Float[Tensor, "n d"]) -> float:
        """The distance of these features."""
        mean, deviations = _moments(features)
        # With Σ₁ = XᵀX and Σ₂ = RᵀR the shared part is the sum of the singular values of X Rᵀ,
        # found from the smaller of its two Gram matrices.
        product = deviations @ self._factor.T
        is_wide = product.shape[0] < product.shape[1]
        gram = product @ product.T if is_wide else product.T @ product
        shared = torch.linalg.eigvalsh(gram).clamp(min=0).sqrt().sum()
        spread = deviations.square().sum() + self._trace - 2 * shared
        # Rounding may leave equal sets a little below zero.
        return max(float((mean - self._mean).square().sum() + spread), 0.0)


def _moments(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, "n d"]]:
    """Mean, and deviations X scaled so that XᵀX is the covariance."""
    if len(features) < 2:
        raise ValueError(f"expected at least 2 features, got {len(features)}")
    features = features.double()
    mean = features.mean(dim=0)
    return mean, (features - mean) / math.sqrt(len(features) - 1)


MAX_ROTATION_ERROR_DEGREES = 1.0
"""Cameras count as fitted if their residual implies less (`rays.residual_at_rotation_error`)."""

Record = dict[str, Any]


def _mean(name: str) -> Callable[[Record], tuple[float, float]]:
    return lambda record: (record[name], 1.0)


def _attributes(record: Record) -> tuple[float, float]:
    return count_right(record["attributes"]), count_stated(record["attributes"])


def _frame_attributes(record: Record) -> tuple[float, float]:
    return count_right(record["frame_attributes"]), count_stated(record["frame_attributes"])


def _kind(record: Record) -> tuple[float, float]:
    flags = record["attributes"].get("kind", [])
    return sum(flags), len(flags)


def _motion_direction(record: Record) -> tuple[float, float]:
    stated = record["stated_motion"]
    if stated is None:
        return 0.0, 0.0
    return float(direction(stated) == direction(record["motion"])), 1.0


def _motion(record: Record) -> tuple[float, float]:
    stated = record["stated_motion"]
    return (0.0, 0.0) if stated is None else (float(stated == record["motion"]), 1.0)


def _cameras_fitted(record: Record) -> tuple[float, float]:
    return float(record["rotation_error_degrees"] < MAX_ROTATION_ERROR_DEGREES), 1.0


SCENE_FIGURES: dict[str, Callable[[Record], tuple[float, float]]] = {
    "attributes": _attributes,
    "frame_attributes": _frame_attributes,
    "kind": _kind,
    "motion_direction": _motion_direction,
    "motion": _motion,
    "cameras_fitted": _cameras_fitted,
    "rotation_error_degrees": _mean("rotation_error_degrees"),
    "source_psnr": _mean("source_psnr"),
    "consistency_psnr": _mean("consistency_psnr"),
    "consistency_ssim": _mean("consistency_ssim"),
}
"""What a record of `measure_scenes` adds above and below the line of each figure."""


def scene_figures(records: Sequence[Record]) -> dict[str, Figure]:
    """Every figure over the scenes."""
    return {name: ratio_figure(_terms(term, records)) for name, term in SCENE_FIGURES.items()}


def scene_differences(records: Sequence[Record], baseline: Sequence[Record]) -> dict[str, Figure]:
    """Every figure minus that of the baseline, paired by scene."""
    return {
        name: difference_figure(_terms(term, records), _terms(term, baseline))
        for name, term in SCENE_FIGURES.items()
    }


def of_ceiling(records: Sequence[Record], real: Sequence[Record]) -> Figure:
    """Attributes right in generated scenes over those right in the real ones they speak of.

    Args:
        records: of generated scenes, or any with `attributes`.
        real: of the worlds that the prompts describe, in the same order.
    """
    pairs = zip(records, real, strict=True)
    return ratio_figure([(_attributes(made)[0], _attributes(true)[0]) for made, true in pairs])


def frechet_figure(
    scenes: Sequence[Float[Tensor, "v d"]], reference: Sequence[Float[Tensor, "v d"]]
) -> Figure:
    """Fréchet distance of the scenes' views to the reference's; scenes are resampled whole."""
    return statistic_figure(len(scenes), _distance_of(scenes, reference))


def frechet_difference(
    scenes: Sequence[Float[Tensor, "v d"]],
    baseline: Sequence[Float[Tensor, "v d"]],
    reference: Sequence[Float[Tensor, "v d"]],
) -> Figure:
    """The distance of the scenes minus that of the baseline's, resampled in pairs."""
    distance, other = (_distance_of(views, reference) for views in (scenes, baseline))
    return statistic_figure(len(scenes), lambda indices: distance(indices) - other(indices))


def _distance_of(
    scenes: Sequence[Float[Tensor, "v d"]], reference: Sequence[Float[Tensor, "v d"]]
) -> Callable[[np.ndarray], float]:
    """The distance of the scenes with these indices."""
    stacked = torch.stack(list(scenes))
    to_reference = FrechetDistance(torch.cat(list(reference)))
    return lambda indices: to_reference(stacked[torch.from_numpy(indices)].flatten(0, 1))


def _terms(term: Callable[[Record], tuple[float, float]], records: Sequence[Record]) -> Terms:
    return [term(record) for record in records]
