"""Scenes and cameras that the browser tests look at."""

import math
from typing import Any

import torch

from videorfsplat.geometry.cameras import Cameras, look_at
from videorfsplat.geometry.gaussians import Gaussians

WIDTH, HEIGHT = 320, 240
"""Of the viewer: small, because the tests draw on the CPU."""

SH_C0 = 0.28209479177387814


def gaussians_of(
    means: Any, colors: Any, scale: Any = 0.1, opacity: float = 0.95, quats: Any = None
) -> Gaussians:
    means = torch.as_tensor(means, dtype=torch.float32)
    num = len(means)
    colors = torch.as_tensor(colors, dtype=torch.float32)
    if quats is None:
        quats = torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(num, 1)
    scales = torch.as_tensor(scale, dtype=torch.float32).expand(num, 3).clone()
    sh = ((colors - 0.5) / SH_C0)[:, None, :]
    return Gaussians(means, quats, scales, torch.full((num,), opacity), sh)


def axes_scene() -> Gaussians:
    """Balls before view 1: red towards the scene's +x, green towards +y, blue on +z."""
    # The engine leaves out a round splat exactly on the view axis: its ellipse has no direction.
    ends = torch.eye(3) + torch.tensor([0.03, 0.02, 4.0])
    return gaussians_of(ends.repeat(40, 1), torch.eye(3).repeat(40, 1), scale=0.15)


def cloud_scene(num: int = 1500) -> Gaussians:
    """Splats of all shapes and colours around (0, 0, 3), which view 1 looks at."""
    generator = torch.Generator().manual_seed(1)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    means = torch.randn(num, 3, generator=generator) * 0.5 + torch.tensor([0.0, 0.0, 3.0])
    quats = torch.nn.functional.normalize(torch.randn(num, 4, generator=generator), dim=-1)
    scales = (-2.2 - 1.5 * uniform(num, 3)).exp()
    gaussians = gaussians_of(means, 0.1 + 0.8 * uniform(num, 3), scales, quats=quats)
    opacities = 0.2 + 0.75 * uniform(num)
    return Gaussians(gaussians.means, quats, scales, opacities, gaussians.sh)


def upright_cameras(num: int, width: int = 96, height: int = 96) -> Cameras:
    """Cameras in a row, looking along +z."""
    centers = torch.zeros(num, 3)
    centers[:, 0] = torch.linspace(0, 0.5, num)
    viewmats = look_at(centers, centers + torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, -1, 0]))
    focal = 1.2 * width
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1.0]])
    return Cameras(viewmats, K.repeat(num, 1, 1), width, height)


def tilted_cameras(num: int = 4, width: int = 96, height: int = 72) -> Cameras:
    """Cameras around (0, 0, 3) that roll, with the principal point off the middle."""
    angles = torch.linspace(-0.5, 0.5, num)
    centers = torch.stack([3 * angles.sin(), 0.4 * angles, 3 - 3 * angles.cos()], dim=-1)
    viewmats = look_at(
        centers, torch.tensor([[0.0, 0, 3]]).repeat(num, 1), torch.tensor([0.0, -1, 0])
    )
    for index in range(num):
        roll = math.radians(15 * index)
        turn = torch.eye(4)
        turn[:2, :2] = torch.tensor(
            [[math.cos(roll), -math.sin(roll)], [math.sin(roll), math.cos(roll)]]
        )
        viewmats[index] = turn @ viewmats[index]
    K = torch.tensor([[100.0, 0, 55], [0, 100, 30], [0, 0, 1]])
    return Cameras(viewmats, K.repeat(num, 1, 1), width, height)
