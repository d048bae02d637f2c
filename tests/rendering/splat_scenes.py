"""Gaussians and cameras for the tests of the rasteriser."""

import math

import torch
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras, look_at
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.spherical_harmonics import SH_C0

FIELDS = ("means", "quats", "scales", "opacities", "sh")


def as_doubles(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def facing_camera(width: int, height: int, focal: float = 20.0) -> Cameras:
    """One camera at the origin that looks along +z (float64)."""
    K = as_doubles([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return Cameras(torch.eye(4).double()[None], K[None], width, height)


def circling_cameras(num_views: int, width: int, height: int) -> Cameras:
    """Cameras around the origin at distance 3, unequal focal lengths, axis off the centre."""
    angles = torch.arange(num_views).double() * 0.7
    centers = 3 * torch.stack([angles.sin(), 0.1 * angles.cos(), -angles.cos()], dim=-1)
    viewmats = look_at(centers, torch.zeros_like(centers), as_doubles([0.1, -1, 0]))
    K = as_doubles([[1.1 * width, 0, width / 2 + 1], [0, 1.2 * width, height / 2 - 0.5], [0, 0, 1]])
    return Cameras(viewmats, K.repeat(num_views, 1, 1), width, height)


def make_gaussians(means, scales, opacities, colors) -> Gaussians:
    """Gaussians (float64) of lists; `scales` one number each, `colors` linear RGB."""
    means = as_doubles(means).reshape(-1, 3)
    return Gaussians(
        means=means,
        quats=as_doubles([1, 0, 0, 0]).repeat(len(means), 1),
        scales=as_doubles(scales)[:, None].repeat(1, 3),
        opacities=as_doubles(opacities),
        sh=(as_doubles(colors).reshape(-1, 1, 3) - 0.5) / SH_C0,
    )


def random_gaussians(num: int, degree: int = 0, seed: int = 0) -> Gaussians:
    """Gaussians (float64) around the origin, all sizes, shapes, opacities and colours."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    return Gaussians(
        means=0.6 * normal(num, 3),
        quats=torch.nn.functional.normalize(normal(num, 4), dim=-1),
        scales=(0.7 * normal(num, 3) - 2.5).exp(),
        opacities=torch.rand(num, generator=generator, dtype=torch.float64),
        sh=0.5 * normal(num, (degree + 1) ** 2, 3),
    )


def awkward_gaussians(num: int, degree: int = 0, seed: int = 0) -> Gaussians:
    """As `random_gaussians`, an eighth each far away, aside, huge, tiny, opaque and invisible."""
    gaussians = random_gaussians(num, degree, seed)
    part = num // 8
    gaussians.means[:part] *= 20  # many behind the cameras or outside the image
    gaussians.means[part : 2 * part, 0] += 3
    gaussians.scales[2 * part : 3 * part] *= 30
    gaussians.scales[3 * part : 4 * part] *= 1e-4
    gaussians.opacities[4 * part : 5 * part] = 1
    gaussians.opacities[5 * part : 6 * part] = 0
    return gaussians


def with_gradients(gaussians: Gaussians, dtype: torch.dtype = torch.float64) -> Gaussians:
    """The same Gaussians as leaves that require gradients."""
    leaves = {name: getattr(gaussians, name).detach().to(dtype).clone() for name in FIELDS}
    return Gaussians(**{name: leaf.requires_grad_() for name, leaf in leaves.items()})


def backward_of_random_loss(renders: Tensor, alphas: Tensor, depths: Tensor, seed: int = 1) -> None:
    """Backward of a sum with random signs, the same for every backend and precision."""
    generator = torch.Generator().manual_seed(seed)
    loss = renders.new_zeros(())
    for output in (renders, alphas, depths):
        weights = torch.randn(output.shape, generator=generator, dtype=torch.float64)
        loss = loss + (output * weights.to(output)).sum()
    loss.backward()


def composite_by_hand(means2d, conics, opacities, features, x: float, y: float) -> list[float]:
    """Front-to-back sums at one point, one Gaussian at a time, as gsplat's CUDA kernel does it."""
    sums, light = [0.0] * len(features[0]), 1.0
    for (u, v), (a, b, c), opacity, feature in zip(
        means2d, conics, opacities, features, strict=True
    ):
        dx, dy = u - x, v - y
        power = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = min(0.999, opacity * math.exp(-power))
        if power < 0 or alpha < 1 / 255:
            continue
        after = light * (1 - alpha)
        if after <= 1e-4:
            break
        sums = [s + alpha * light * f for s, f in zip(sums, feature, strict=True)]
        light = after
    return sums
