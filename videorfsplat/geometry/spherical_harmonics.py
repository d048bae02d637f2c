"""Real spherical harmonics to degree 3, in the basis, order and signs of 3DGS files and gsplat."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

SH_C0 = 0.28209479177387814
"""The constant function of degree 0: colour = 0.5 + SH_C0 · coefficient."""


def evaluate_sh_basis(
    directions: Float[Tensor, "*batch 3"], num_bases: int
) -> Float[Tensor, "*batch {num_bases}"]:
    """The first `num_bases` (1, 4, 9 or 16) functions at `directions`, which need not be unit.

    Source: Sloan, "Efficient Spherical Harmonic Evaluation", JCGT 2013.
    """
    x, y, z = torch.nn.functional.normalize(directions, dim=-1).unbind(-1)
    bases = [torch.full_like(x, SH_C0)]
    if num_bases > 1:
        bases += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if num_bases > 4:
        bases += [
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.9461746957575601 * z * z - 0.31539156525252005,
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ]
    if num_bases > 9:
        bases += [
            -0.5900435899266435 * y * (3 * x * x - y * y),
            2.890611442640554 * x * y * z,
            0.4570457994644658 * y * (1 - 5 * z * z),
            z * (1.865881662950577 * z * z - 1.119528997770346),
            0.4570457994644658 * x * (1 - 5 * z * z),
            1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]
    return torch.stack(bases, dim=-1)


def rotate_sh(sh: Float[Tensor, "n k c"], rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "n k c"]:
    """Coefficients of the rotated functions: their value at `rotation @ d` is the old one at d.

    The linear map of the coefficients is read off the values at more directions than there are
    functions; each degree is closed under rotation, so the map is exact up to rounding.
    """
    num_bases = sh.shape[1]
    if num_bases == 1:
        return sh
    directions = _sphere_points(4 * num_bases)
    rotated = directions @ rotation.detach().to("cpu", torch.float64)
    basis, rotated_basis = (evaluate_sh_basis(d, num_bases) for d in (directions, rotated))
    # The constant is left alone, so that degree 0 stays exact.
    matrix = torch.linalg.lstsq(basis, rotated_basis).solution[1:, 1:].to(sh)
    return torch.cat([sh[:, :1], torch.einsum("jk,nkc->njc", matrix, sh[:, 1:])], dim=1)


def _sphere_points(count: int) -> Float[Tensor, "count 3"]:
    """Evenly spread directions on a golden-angle spiral."""
    steps = torch.arange(count, dtype=torch.float64) + 0.5
    z = 1 - 2 * steps / count
    radius = (1 - z * z).sqrt()
    angles = steps * math.pi * (3 - math.sqrt(5))
    return torch.stack([radius * angles.cos(), radius * angles.sin(), z], dim=-1)
