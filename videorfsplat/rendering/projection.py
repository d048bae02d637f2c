"""EWA projection of 3D Gaussians to 2D splats (Zwicker et al. 2001) in differentiable torch."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.geometry.quaternions import quats_to_rotations
from videorfsplat.rendering.conventions import (
    ALPHA_THRESHOLD,
    EPS2D,
    FRUSTUM_MARGIN,
    MAX_EXTENT,
)


@dataclass(frozen=True)
class Splats:
    """N Gaussians as one camera sees them, in pixels."""

    means2d: Float[Tensor, "n 2"]
    conics: Float[Tensor, "n 3"]
    """Inverse 2D covariance: xx, xy, yy."""
    depths: Float[Tensor, " n"]
    """Camera z of the means."""
    radii: Float[Tensor, "n 2"]
    """Half the bounding box, whole pixels, without gradient; 0 where nothing can be seen."""


def compute_covariances(
    quats: Float[Tensor, "n 4"], scales: Float[Tensor, "n 3"]
) -> Float[Tensor, "n 3 3"]:
    """World-frame covariance R S Sᵀ Rᵀ of each Gaussian."""
    factors = quats_to_rotations(quats) * scales[:, None, :]
    return factors @ factors.mT


def project_gaussians(
    means_camera: Float[Tensor, "n 3"],
    covariances: Float[Tensor, "n 3 3"],
    opacities: Float[Tensor, " n"],
    *,
    rotation: Float[Tensor, "3 3"],
    K: Float[Tensor, "3 3"],
    width: int,
    height: int,
) -> Splats:
    """Project Gaussians in front of a camera with the local affine approximation of perspective.

    Args:
        means_camera: means in the camera frame, all with z > 0.
        covariances: in the world frame.
        opacities: shrink the bounding boxes, as gsplat does; they do not change the splats.
        rotation: world→camera.
    """
    x, y, z = means_camera.unbind(-1)
    means2d = torch.stack([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], dim=-1)
    axes = _projection_jacobians(means_camera, K, width, height) @ rotation  # [n, 2, 3]
    covariances2d = axes @ covariances @ axes.mT
    xx = covariances2d[:, 0, 0] + EPS2D
    xy = covariances2d[:, 0, 1]
    yy = covariances2d[:, 1, 1] + EPS2D
    determinant = xx * yy - xy * xy
    # Rounding can make a hugely stretched splat singular; it is culled below, and must not make a
    # NaN on the way.
    safe = torch.where(determinant > 0, determinant, torch.ones_like(determinant))
    conics = torch.stack([yy / safe, -xy / safe, xx / safe], dim=-1)
    radii = _bounding_radii(xx.detach(), yy.detach(), opacities.detach())
    radii = radii * (determinant.detach() > 0)[:, None]
    return Splats(means2d, conics, z, _cull_outside(radii, means2d.detach(), width, height))


def _projection_jacobians(
    means_camera: Float[Tensor, "n 3"], K: Float[Tensor, "3 3"], width: int, height: int
) -> Float[Tensor, "n 2 3"]:
    x, y, z = means_camera.unbind(-1)
    zero = torch.zeros_like(z)
    slopes_x = _clamp_slopes(x / z, K[0, 0], K[0, 2], width)
    slopes_y = _clamp_slopes(y / z, K[1, 1], K[1, 2], height)
    row_x = torch.stack([K[0, 0] / z, zero, -K[0, 0] * slopes_x / z], dim=-1)
    row_y = torch.stack([zero, K[1, 1] / z, -K[1, 1] * slopes_y / z], dim=-1)
    return torch.stack([row_x, row_y], dim=-2)


def _clamp_slopes(slopes: Tensor, focal: Tensor, center: Tensor, size: int) -> Tensor:
    """Keep x / z (or y / z) near the image: far outside, the linearisation explodes."""
    margin = FRUSTUM_MARGIN * 0.5 * size / focal
    return torch.clamp(slopes, min=-(center / focal + margin), max=(size - center) / focal + margin)


def _bounding_radii(xx: Tensor, yy: Tensor, opacities: Tensor) -> Tensor:
    """Half the box outside which alpha is below the threshold (Radl et al. 2024, section B.2)."""
    extents = (2 * (opacities / ALPHA_THRESHOLD).clamp_min(1.0).log()).sqrt().clamp_max(MAX_EXTENT)
    radii = (extents[:, None] * torch.stack([xx, yy], dim=-1).sqrt()).ceil()
    return radii * (opacities >= ALPHA_THRESHOLD)[:, None]


def _cull_outside(radii: Tensor, means2d: Tensor, width: int, height: int) -> Tensor:
    size = means2d.new_tensor([width, height])
    inside = ((means2d + radii > 0) & (means2d - radii < size)).all(dim=-1)
    return radii * (inside & torch.isfinite(radii).all(dim=-1) & (radii > 0).all(dim=-1))[:, None]
