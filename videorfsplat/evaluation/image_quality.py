"""How close pictures are to others of the same thing: PSNR and SSIM."""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

MAX_PSNR = 100.0
"""What equal pictures get, in dB."""
# The usual window of SSIM.
_WINDOW = 11


def psnr(
    frames: Float[Tensor, "n 3 H W"], reference: Float[Tensor, "n 3 H W"]
) -> Float[Tensor, " n"]:
    """Peak signal-to-noise ratio of each picture with values in [0, 1], in dB, capped."""
    error = (frames.clamp(0, 1) - reference).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).clamp(max=MAX_PSNR)


def ssim(
    frames: Float[Tensor, "n 3 H W"], reference: Float[Tensor, "n 3 H W"]
) -> Float[Tensor, " n"]:
    """Structural similarity of each picture with values in [0, 1], by torchmetrics.

    Raises:
        ValueError: if the pictures are smaller than the window.
    """
    if min(frames.shape[-2:]) < _WINDOW:
        raise ValueError(f"SSIM needs at least {_WINDOW} pixels a side, got {frames.shape[-2:]}")
    values = structural_similarity_index_measure(
        frames.clamp(0, 1), reference, data_range=1.0, kernel_size=_WINDOW, reduction="none"
    )
    assert isinstance(values, Tensor)
    return values.reshape(len(frames))
