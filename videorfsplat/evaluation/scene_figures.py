"""The figures of generated scenes: from records to ratios with confidence intervals."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.evaluation.attributes import count_right, count_stated
from videorfsplat.evaluation.bootstrap import (
    Figure,
    Terms,
    difference_figure,
    ratio_figure,
    statistic_figure,
)
from videorfsplat.evaluation.camera_motion import direction
from videorfsplat.evaluation.frechet import FrechetDistance

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
