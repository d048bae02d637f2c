"""The reference rasteriser: plain torch, any device and precision, gradients by autograd."""

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.rendering.colors import evaluate_colors
from videorfsplat.rendering.conventions import ALPHA_THRESHOLD, MAX_ALPHA, MIN_TRANSMITTANCE
from videorfsplat.rendering.projection import Splats, compute_covariances, project_gaussians

# Pixels handled together. Smaller tiles test fewer pairs of Gaussian and pixel, larger ones make
# fewer torch calls.
TILE_SIZE = 8


def accumulate_torch(
    gaussians: Gaussians, cameras: Cameras, *, near: float, far: float
) -> Float[Tensor, "v H W 5"]:
    """Sums of weight times (red, green, blue, 1, depth) at every pixel of every view.

    With gradients it keeps every pair of a tile's pixel and Gaussian in memory: about 1 GB a view
    for 73,728 pixel-sized Gaussians at 96×96.
    """
    covariances = compute_covariances(gaussians.quats, gaussians.scales)
    views = [
        _accumulate_view(gaussians, covariances, cameras[view], near, far)
        for view in range(cameras.num_views)
    ]
    shape = (0, cameras.height, cameras.width, 5)
    return torch.stack(views) if views else gaussians.means.new_zeros(shape)


def _accumulate_view(
    gaussians: Gaussians, covariances: Tensor, camera: Cameras, near: float, far: float
) -> Float[Tensor, "H W 5"]:
    rotation, translation = camera.viewmats[0, :3, :3], camera.viewmats[0, :3, 3]
    means_camera = gaussians.means @ rotation.mT + translation
    depths = means_camera[:, 2].detach()
    kept = torch.nonzero((depths >= near) & (depths <= far))[:, 0]
    kept = kept[torch.argsort(depths[kept], stable=True)]
    splats = project_gaussians(
        means_camera[kept],
        covariances[kept],
        gaussians.opacities[kept],
        rotation=rotation,
        K=camera.Ks[0],
        width=camera.width,
        height=camera.height,
    )
    center = -rotation.mT @ translation
    colors = evaluate_colors(gaussians.sh[kept], gaussians.means[kept] - center)
    features = torch.cat([colors, torch.ones_like(colors[:, :1]), splats.depths[:, None]], dim=-1)
    return _composite_image(
        splats, gaussians.opacities[kept], features, camera.width, camera.height
    )


def _composite_image(
    splats: Splats, opacities: Tensor, features: Tensor, width: int, height: int
) -> Float[Tensor, "H W 5"]:
    """Composite tile by tile; `splats` come in depth order."""
    lows = splats.means2d.detach() - splats.radii
    highs = splats.means2d.detach() + splats.radii
    seen = splats.radii[:, 0] > 0
    rows = []
    for top in range(0, height, TILE_SIZE):
        bottom = min(top + TILE_SIZE, height)
        in_row = torch.nonzero(seen & (lows[:, 1] < bottom) & (highs[:, 1] > top))[:, 0]
        tiles = []
        for left in range(0, width, TILE_SIZE):
            right = min(left + TILE_SIZE, width)
            touches = (lows[in_row, 0] < right) & (highs[in_row, 0] > left)
            pixels = _pixel_centers(top, bottom, left, right, like=features)
            index = in_row[touches]
            weights = _composite_weights(
                pixels, splats.means2d[index], splats.conics[index], opacities[index]
            )
            tiles.append((weights @ features[index]).unflatten(0, (bottom - top, right - left)))
        rows.append(torch.cat(tiles, dim=1))
    return torch.cat(rows, dim=0)


def _pixel_centers(top: int, bottom: int, left: int, right: int, *, like: Tensor) -> Tensor:
    y = torch.arange(top, bottom, dtype=like.dtype, device=like.device) + 0.5
    x = torch.arange(left, right, dtype=like.dtype, device=like.device) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).flatten(0, 1)


def _composite_weights(
    pixels: Float[Tensor, "p 2"],
    means2d: Float[Tensor, "n 2"],
    conics: Float[Tensor, "n 3"],
    opacities: Float[Tensor, " n"],
) -> Float[Tensor, "p n"]:
    """Weight of each Gaussian at each pixel: alpha times the transmittance in front of it."""
    x = means2d[:, 0] - pixels[:, :1]
    y = means2d[:, 1] - pixels[:, 1:]
    exponents = 0.5 * (conics[:, 0] * x * x + conics[:, 2] * y * y) + conics[:, 1] * x * y
    alphas = (opacities * torch.exp(-exponents)).clamp_max(MAX_ALPHA)
    alphas = torch.where((exponents >= 0) & (alphas >= ALPHA_THRESHOLD), alphas, 0.0)
    after = torch.cumprod(1 - alphas, dim=1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], dim=1)
    return torch.where(after > MIN_TRANSMITTANCE, alphas * before, 0.0)
