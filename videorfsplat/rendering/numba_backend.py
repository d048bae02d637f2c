"""Rasterisation on the CPU by numba kernels: all cores, the same result for any thread count."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering import numba_layout as at
from videorfsplat.rendering.colors import evaluate_view_colors
from videorfsplat.rendering.conventions import FRUSTUM_MARGIN
from videorfsplat.rendering.kernel_compilation import wait_for_kernels
from videorfsplat.rendering.numba_compositing import composite, composite_backward
from videorfsplat.rendering.numba_pairs import Pairs, pair_with_tiles
from videorfsplat.rendering.numba_projection import project_backward

# Views rendered together when no gradient is needed: bounds the memory of long camera paths.
VIEWS_PER_PASS = 8
# Tiles are counted in int16 along each side.
MAX_TILE = 32767


def accumulate_numba(
    gaussians: Gaussians, cameras: Cameras, *, near: float, far: float
) -> Float[Tensor, "v H W 5"]:
    """Sums of weight times (red, green, blue, 1, depth), in float32 or float64 as the Gaussians."""
    most_tiles = max(cameras.width // at.TILE_WIDTH, cameras.height // at.TILE_HEIGHT)
    if most_tiles > MAX_TILE:
        raise ValueError(f"an image of {cameras.width}x{cameras.height} is too large for numba")
    wait_for_kernels()
    needs_gradient = torch.is_grad_enabled() and any(
        t.requires_grad for t in vars(gaussians).values()
    )
    step = cameras.num_views if needs_gradient else VIEWS_PER_PASS
    passes = [
        _accumulate_views(gaussians, cameras[view : view + step], near, far)
        for view in range(0, max(cameras.num_views, 1), max(step, 1))
    ]
    return torch.cat(passes)


def _accumulate_views(
    gaussians: Gaussians, cameras: Cameras, near: float, far: float
) -> Float[Tensor, "v H W 5"]:
    lenses = _camera_constants(cameras)
    limits = torch.tensor([near, far, cameras.width, cameras.height], dtype=gaussians.means.dtype)
    return _Accumulate.apply(
        gaussians.means,
        gaussians.quats,
        gaussians.scales,
        gaussians.opacities,
        evaluate_view_colors(gaussians, cameras),
        cameras.viewmats,
        lenses,
        limits,
    )


def _camera_constants(cameras: Cameras) -> Float[Tensor, "v 8"]:
    focals = cameras.Ks[:, [0, 1], [0, 1]]
    centers = cameras.Ks[:, :2, 2]
    size = focals.new_tensor([cameras.width, cameras.height])
    margins = FRUSTUM_MARGIN * 0.5 * size / focals
    lows, highs = -(centers / focals + margins), (size - centers) / focals + margins
    slopes = torch.stack([lows, highs], dim=-1).flatten(1)  # x min, x max, y min, y max
    return torch.cat([focals, centers, slopes], dim=1)


class _Accumulate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        arrays = [_to_array(t) for t in inputs]
        with _threads_of_torch():
            pairs = pair_with_tiles(*arrays)
            width, height = (int(size) for size in arrays[-1][2:])
            sums = np.empty((len(pairs.splats), height, width, 5), arrays[0].dtype)
            tile_ends = np.empty_like(pairs.starts)
            composite(pairs.splats, pairs.gaussian_ids, pairs.starts, pairs.ends, tile_ends, sums)
        output = torch.from_numpy(sums)
        ctx.save_for_backward(*inputs, output)
        ctx.pairs, ctx.tile_ends = pairs, tile_ends
        return output

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator hides names)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        *inputs, sums = (_to_array(t) for t in ctx.saved_tensors)
        means, quats, scales, opacities, colors, viewmats, lenses, _ = inputs
        pairs: Pairs = ctx.pairs
        tile_sums = np.empty((len(pairs.gaussian_ids), at.SUM_COLUMNS), sums.dtype)
        composite_backward(
            pairs.splats,
            pairs.gaussian_ids,
            pairs.starts,
            ctx.tile_ends,
            sums,
            _to_array(grad_outputs[0]),
            tile_sums,
        )
        gradients = [np.zeros_like(a) for a in (means, quats, scales, opacities, colors)]
        project_backward(
            means,
            quats,
            scales,
            opacities,
            colors,
            viewmats,
            lenses,
            pairs.splats,
            pairs.rectangles,
            ctx.tile_ends,
            pairs.firsts,
            pairs.slots,
            tile_sums,
            *gradients,
        )
        return *(torch.from_numpy(g) for g in gradients), None, None, None


@contextmanager
def _threads_of_torch() -> Iterator[None]:
    """Keep torch's number of threads. Numba's first kernel starts its team by OpenMP, which torch
    then asks for its own; sums of torch with another number of threads differ in their last digits,
    and a training that went on would not be the one that ran through."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def _to_array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().contiguous().numpy()
