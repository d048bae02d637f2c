"""Features of an EfficientNet-Lite0 trained on ImageNet, for a Fréchet distance of its own."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from videorfsplat.models.efficientnet_lite import efficientnet_lite0

# Small views gain nothing from the 224 pixels that the network was trained at.
_SIDE = 128


class ImageNetFeatures(nn.Module):
    """The last block's 320 channels, averaged over the picture.

    The network's weights stay fixed.
    """

    def __init__(self) -> None:
        super().__init__()
        stem, blocks = efficientnet_lite0()
        self.layers = nn.Sequential(*stem, *blocks)
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, frames: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n 320"]:
        """Features of views in [0, 1]."""
        frames = F.interpolate(frames, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        return self.layers(2 * frames - 1).mean(dim=(2, 3))
