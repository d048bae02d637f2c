"""Small seeded scenes for tests of files and of the scene folder."""

import math

import numpy as np
import torch
from strategies import build_cameras

from videorfsplat.generation.scene import Scene
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians


def random_gaussians(num: int = 300, degree: int = 0, seed: int = 0, extent: float = 1.0):
    """Gaussians of all sizes, rotations, opacities and colours around the point (0, 0, 3)."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    num_bases = (degree + 1) ** 2
    sh = normal(num, num_bases, 3) * torch.tensor([0.6] + [0.15] * (num_bases - 1))[:, None]
    return Gaussians(
        means=normal(num, 3) * extent + torch.tensor([0.0, 0.0, 3.0]),
        quats=torch.nn.functional.normalize(normal(num, 4), dim=-1),
        scales=(normal(num, 3) * 0.5 - 2.5).exp(),
        opacities=torch.sigmoid(normal(num) * 2),
        sh=sh,
    )


def orbit_cameras(num_views: int = 8, width: int = 48, height: int = 32) -> Cameras:
    """Cameras (float32) on an arc around (0, 0, 3), tilted so that no axis is left out."""
    angles = np.linspace(-0.6, 0.6, num_views)
    rotvecs = [(0.2 * math.sin(3 * a), -a, 0.1 * a) for a in angles]
    centers = [(3 * math.sin(a), 0.3 * a, 3 - 3 * math.cos(a)) for a in angles]
    return build_cameras(rotvecs, centers, 40.0, width, height).to(torch.float32)


def toy_scene(num_views: int = 8, degree: int = 1, with_depths: bool = True) -> Scene:
    """A scene whose frames and depths are noise: files do not care."""
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (num_views, 32, 48, 3), dtype=np.uint8)
    depths = torch.rand(num_views, 32, 48, 1, generator=torch.Generator().manual_seed(0)) + 0.5
    record = {"settings": {"prompt": "ein Häuschen 湖", "steps": 24}, "seed": 7, "seconds": 1.5}
    return Scene(
        random_gaussians(degree=degree),
        orbit_cameras(num_views),
        frames,
        depths if with_depths else None,
        record,
    )


def assert_same_gaussians(found: Gaussians, expected: Gaussians, tolerance: float = 2e-6) -> None:
    """Equal up to the rounding of float32 logarithms and logits, relative or absolute."""
    for name in ("means", "scales", "opacities", "sh"):
        pair = getattr(found, name), getattr(expected, name)
        torch.testing.assert_close(*pair, rtol=tolerance, atol=tolerance)
    same = (found.quats * expected.quats).sum(dim=-1).abs()
    torch.testing.assert_close(same, torch.ones_like(same), rtol=0, atol=tolerance)
