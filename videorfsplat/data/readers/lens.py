"""Frames of a real lens as a pinhole would have taken them."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def distort_points(
    points: Float[Tensor, "*n 2"], distortion: Float[Tensor, "6"]
) -> Float[Tensor, "*n 2"]:
    """Where a lens images what a pinhole images at `points`, on the plane at depth 1.

    OpenCV's model with the radial polynomial up to r⁸ (docs.opencv.org, calib3d).

    Args:
        points: x, y.
        distortion: k1, k2, k3, k4, p1, p2.
    """
    k1, k2, k3, k4, p1, p2 = distortion.unbind()
    x, y = points.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
    return torch.stack(
        [
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y),
        ],
        dim=-1,
    )


def undistort_frame(
    frame: Float[Tensor, "c h w"], K: Float[Tensor, "3 3"], distortion: Float[Tensor, "6"]
) -> Float[Tensor, "c h w"]:
    """The frame of a pinhole camera with the same intrinsics, sampled bilinearly.

    What the lens did not see, at the edges of the pinhole's frame, repeats its edge.

    Args:
        frame: of the lens.
        K: intrinsics in pixels of the frame; pixel centres at +0.5.
        distortion: k1, k2, k3, k4, p1, p2.
    """
    height, width = frame.shape[-2:]
    rows = torch.arange(height, dtype=K.dtype) + 0.5
    columns = torch.arange(width, dtype=K.dtype) + 0.5
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    focal, center = K.diagonal()[:2], K[:2, 2]
    seen = distort_points((pixels - center) / focal, distortion.to(K)) * focal + center
    # grid_sample without aligned corners: -1 and 1 are the outer edges, as 0 and `width` here.
    grid = seen / torch.tensor([width, height], dtype=K.dtype) * 2 - 1
    return F.grid_sample(
        frame[None],
        grid[None].to(frame.dtype),
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )[0]
