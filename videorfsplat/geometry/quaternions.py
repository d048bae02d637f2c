"""Rotations as quaternions: wxyz, the real part first."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def multiply_quats(
    first: Float[Tensor, "*#batch 4"], second: Float[Tensor, "*#batch 4"]
) -> Float[Tensor, "*batch 4"]:
    """Hamilton product: the rotation `second`, then `first`."""
    first, second = torch.broadcast_tensors(first, second)
    w, v = first[..., :1], first[..., 1:]
    x, u = second[..., :1], second[..., 1:]
    real = w * x - (v * u).sum(-1, keepdim=True)
    return torch.cat([real, w * u + x * v + torch.linalg.cross(v, u)], dim=-1)


def rotations_to_quats(rotations: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternions of proper rotations, of either sign; differentiable."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = (row.unbind(-1) for row in rotations.unbind(-2))
    # Row i is 4·q_i·q, q being the quaternion: that of the largest q_i is the best conditioned.
    rows = [
        (1 + xx + yy + zz, zy - yz, xz - zx, yx - xy),
        (zy - yz, 1 + xx - yy - zz, yx + xy, xz + zx),
        (xz - zx, yx + xy, 1 - xx + yy - zz, zy + yz),
        (yx - xy, xz + zx, zy + yz, 1 - xx - yy + zz),
    ]
    multiples = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    largest = multiples.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)[..., None, None]
    best = multiples.take_along_dim(largest, dim=-2).squeeze(-2)
    return F.normalize(best, dim=-1)


def quats_to_rotations(quats: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation matrices of quaternions, which are normalised first; differentiable."""
    w, x, y, z = F.normalize(quats, dim=-1).unbind(-1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
