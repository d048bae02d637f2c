"""Colours of Gaussians as cameras see them."""

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.spherical_harmonics import SH_C0, evaluate_sh_basis


def evaluate_colors(
    sh: Float[Tensor, "n k 3"], directions: Float[Tensor, "n 3"]
) -> Float[Tensor, "n 3"]:
    """Linear colour of each Gaussian along `directions` (camera to Gaussian), at least 0."""
    if sh.shape[1] == 1:
        colors = SH_C0 * sh[:, 0]
    else:
        colors = (evaluate_sh_basis(directions, sh.shape[1])[..., None] * sh).sum(dim=1)
    return (colors + 0.5).clamp_min(0.0)


def evaluate_view_colors(gaussians: Gaussians, cameras: Cameras) -> Float[Tensor, "c n 3"]:
    """Colour of each Gaussian in each view; once, for all views, if it has no direction."""
    if gaussians.sh.shape[1] == 1:
        return evaluate_colors(gaussians.sh, gaussians.means)[None]
    views = [evaluate_colors(gaussians.sh, gaussians.means - center) for center in cameras.centers]
    return torch.stack(views) if views else gaussians.means.new_zeros(0, len(gaussians), 3)
