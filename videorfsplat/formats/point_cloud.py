"""Gaussians as coloured points, for tools that do not draw Gaussians."""

import numpy as np
from jaxtyping import Float, UInt8

from videorfsplat.geometry.gaussians import Gaussians


def gaussians_to_points(
    gaussians: Gaussians,
) -> tuple[Float[np.ndarray, "n 3"], UInt8[np.ndarray, "n 3"]]:
    """Centres (world, double precision) and base colours clamped to 0..255."""
    gaussians = gaussians.detach().to("cpu")
    colors = gaussians.base_colors.double().clamp(0, 1).mul(255).round()
    return gaussians.means.double().numpy(), colors.numpy().astype(np.uint8)
