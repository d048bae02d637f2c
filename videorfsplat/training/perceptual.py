"""Perceptual distance between images: features of an EfficientNet-Lite0 trained on ImageNet."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from videorfsplat.models.efficientnet_lite import efficientnet_lite0
from videorfsplat.training.precision import low_precision


class PerceptualLoss(nn.Module):
    """Mean squared distance of unit feature vectors at strides 2 to 8.

    The network's weights stay fixed. Later stages see too little of a small image and are left out.
    """

    def __init__(self, num_blocks: int = 5) -> None:
        super().__init__()
        self.stem, blocks = efficientnet_lite0(num_blocks)
        self.blocks = nn.ModuleList(blocks)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "PerceptualLoss":
        """Stays in evaluation mode: the batch statistics belong to the fixed network."""
        return super().train(False)

    def features(self, frames: Float[Tensor, "n 3 H W"]) -> list[Float[Tensor, "n c h w"]]:
        """Features of frames in [-1, 1], each pixel's feature vector of unit length."""
        hidden_states = self.stem(frames)
        features = [F.normalize(hidden_states, dim=1)]
        for block in self.blocks:
            hidden_states = block(hidden_states)
            features.append(F.normalize(hidden_states, dim=1))
        return features

    def forward(
        self, frames: Float[Tensor, "n 3 H W"], reference: Float[Tensor, "n 3 H W"]
    ) -> Float[Tensor, ""]:
        """Distance averaged over stages; gradients go to `frames` only."""
        with low_precision(frames.device):
            with torch.no_grad():
                targets = self.features(reference)
            features = self.features(frames)
        distances = [
            (a.float() - b.float()).square().sum(1).mean()
            for a, b in zip(features, targets, strict=True)
        ]
        return torch.stack(distances).mean()
