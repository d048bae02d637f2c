"""Rasterisation of CUDA tensors by gsplat 1.5.3."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.conventions import EPS2D


def accumulate_gsplat(
    gaussians: Gaussians, cameras: Cameras, *, near: float, far: float
) -> Float[Tensor, "v H W 5"]:
    """Sums of weight times (red, green, blue, 1, depth) at every pixel of every view."""
    # Imported here: importing gsplat takes seconds and is useful only where there is a CUDA device.
    from gsplat import rasterization

    if len(gaussians) == 0 or cameras.num_views == 0:
        # gsplat's kernels cannot be launched on nothing.
        shape = (cameras.num_views, cameras.height, cameras.width, 5)
        return torch.zeros(shape, dtype=gaussians.means.dtype, device=gaussians.means.device)
    renders, alphas, _ = rasterization(
        gaussians.means.float(),
        gaussians.quats.float(),
        gaussians.scales.float(),
        gaussians.opacities.float(),
        gaussians.sh.float(),
        cameras.viewmats.float(),
        cameras.Ks.float(),
        cameras.width,
        cameras.height,
        near_plane=near,
        far_plane=far,
        eps2d=EPS2D,
        sh_degree=math.isqrt(gaussians.sh.shape[1]) - 1,
        packed=False,
        render_mode="RGB+D",
        rasterize_mode="classic",
    )
    sums = torch.cat([renders[..., :3], alphas, renders[..., 3:]], dim=-1)
    return sums.to(gaussians.means.dtype)
