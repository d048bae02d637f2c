"""Which splats each tile composites, by depth: the numba kernels up to there, on NumPy arrays."""

from dataclasses import dataclass

import numpy as np

from videorfsplat.rendering import numba_layout as at
from videorfsplat.rendering.numba_binning import count_pairs, fill_pairs
from videorfsplat.rendering.numba_projection import project


@dataclass(frozen=True)
class Pairs:
    """What the kernels know about the pairs of splat and tile after the forward pass."""

    splats: np.ndarray
    rectangles: np.ndarray
    firsts: np.ndarray
    slots: np.ndarray
    gaussian_ids: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


def pair_with_tiles(
    means: np.ndarray,
    quats: np.ndarray,
    scales: np.ndarray,
    opacities: np.ndarray,
    colors: np.ndarray,
    viewmats: np.ndarray,
    lenses: np.ndarray,
    limits: np.ndarray,
) -> Pairs:
    """Project all Gaussians into all views and list, by tile and depth, the splats to composite."""
    num_views, num_gaussians = len(viewmats), len(means)
    width, height = (int(size) for size in limits[2:])
    splats = np.empty((num_views, num_gaussians, at.SPLAT_COLUMNS), means.dtype)
    depths = np.empty((num_views, num_gaussians), means.dtype)
    rectangles = np.empty((num_views, num_gaussians, 4), np.int16)
    inputs = (means, quats, scales, opacities, colors, viewmats, lenses, limits)
    project(*inputs, splats, depths, rectangles)

    firsts = np.empty((num_views, num_gaussians), np.int64)
    num_rows, num_columns = -(-height // at.TILE_HEIGHT), -(-width // at.TILE_WIDTH)
    counts = np.zeros((num_views, num_rows, num_columns), np.int64)
    totals = np.empty((num_views, 2), np.int64)
    count_pairs(rectangles, firsts, counts, totals)

    starts = counts.cumsum().reshape(counts.shape) - counts
    firsts += (totals[:, 0].cumsum() - totals[:, 0])[:, None]
    num_pairs = int(totals[:, 0].sum())
    gaussian_ids = np.empty(num_pairs, np.int32)
    slots = np.empty(num_pairs, np.int64)
    depth_bits = depths.view(np.int32 if means.dtype == np.float32 else np.int64)
    ends = starts.copy()
    fill_pairs(depth_bits, rectangles, firsts, ends, totals, gaussian_ids, slots)
    return Pairs(splats, rectangles, firsts, slots, gaussian_ids, starts, ends)
