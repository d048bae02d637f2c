"""The attribute probe: which of a world's attributes can be seen in its views."""

from typing import Any

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from videorfsplat.models.efficientnet_lite import efficientnet_lite0

# A counted thing is there not at all, once, or twice and more.
_MAX_COUNT = 2


class AttributeProbe(ModelMixin, ConfigMixin):
    r"""
    Reads attributes from any number of views of any size: the first blocks of an EfficientNet-Lite0
    turn each view into tokens, a learned query for every attribute attends over the tokens of all
    views, and a linear layer tells its value. Batch statistics are those of ImageNet and stay.

    Parameters:
        choices (`dict[str, list[str]]`): Attributes of which a scene has exactly one value.
        counts (`dict[str, list[str]]`): Attributes of which a scene has any number of values.
        sample_size (`int`): Side in pixels to which views are resized, a multiple of 16.
        num_blocks (`int`): Blocks of the EfficientNet, at most 16.
        width (`int`): Width of the tokens, and of the features of a view.
        num_attention_heads (`int`): Heads of the attention over tokens.
    """

    @register_to_config
    def __init__(
        self,
        choices: dict[str, list[str]],
        counts: dict[str, list[str]],
        sample_size: int = 96,
        num_blocks: int = 11,
        width: int = 128,
        num_attention_heads: int = 4,
    ) -> None:
        super().__init__()
        # A saved configuration has its keys sorted: the order of the heads is that of the names.
        self.choices = {name: list(choices[name]) for name in sorted(choices)}
        self.counts = {name: list(counts[name]) for name in sorted(counts)}
        self.stem, blocks = efficientnet_lite0(num_blocks, pretrained=False)
        self.blocks = nn.Sequential(*blocks)
        channels = blocks[-1]._project_conv.out_channels
        self.to_tokens = nn.Sequential(nn.Conv2d(channels, width, kernel_size=1), nn.SiLU())
        sizes = [len(values) for values in self.choices.values()]
        sizes += [_MAX_COUNT + 1 for values in self.counts.values() for _ in values]
        self.queries = nn.Parameter(torch.randn(len(sizes), width))
        self.attention = nn.MultiheadAttention(width, num_attention_heads, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(width, size) for size in sizes)

    @classmethod
    def from_imagenet(cls, **config: Any) -> "AttributeProbe":
        """A probe whose blocks start as those that the package of the EfficientNet ships.

        Args:
            config: constructor arguments.
        """
        probe = cls(**config)
        stem, blocks = efficientnet_lite0(len(probe.blocks))
        probe.stem.load_state_dict(stem.state_dict())
        probe.blocks.load_state_dict(nn.Sequential(*blocks).state_dict())
        return probe

    def train(self, mode: bool = True) -> "AttributeProbe":
        """As the base class, but batch normalisation keeps its statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, frames: Float[Tensor, "b v 3 H W"]) -> list[Float[Tensor, "b classes"]]:
        r"""
        Logits of every choice, then of the counts 0, 1 and more of every counted value, attributes
        in the order of their names.

        Args:
            frames (`torch.Tensor` of shape `(batch_size, num_views, 3, height, width)`):
                Views in [0, 1].
        """
        tokens = self._tokens(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).flatten(1, 2)
        queries = self.queries.expand(len(frames), -1, -1)
        seen, _ = self.attention(queries, tokens, tokens, need_weights=False)
        return [head(seen[:, index]) for index, head in enumerate(self.heads)]

    def features(self, frames: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n d"]:
        """One feature vector a view, for distances between sets of views in [0, 1]."""
        return self._tokens(frames).mean(dim=1)

    def labels(self, attributes: dict[str, Any]) -> list[int]:
        """The class of every head for a scene with these attributes.

        Raises:
            ValueError: if an attribute has a value that the probe does not know.
        """
        labels = []
        for name, values in self.choices.items():
            if attributes[name] not in values:
                raise ValueError(f"{name} must be one of {values}, got {attributes[name]!r}")
            labels.append(values.index(attributes[name]))
        for name, values in self.counts.items():
            labels += [min(attributes[name].count(value), _MAX_COUNT) for value in values]
        return labels

    @torch.no_grad()
    def read(self, frames: Float[Tensor, "b v 3 H W"]) -> list[dict[str, Any]]:
        """The attributes seen in the views of each scene: a word each, or a list of words."""
        classes = torch.stack([part.argmax(dim=1) for part in self(frames)], dim=1)
        return [self._named(row) for row in classes.tolist()]

    def _named(self, classes: list[int]) -> dict[str, Any]:
        numbers = iter(classes)
        seen: dict[str, Any] = {}
        for name, values in self.choices.items():
            seen[name] = values[next(numbers)]
        for name, values in self.counts.items():
            seen[name] = [value for value in values for _ in range(next(numbers))]
        return seen

    def _tokens(self, frames: Float[Tensor, "n 3 H W"]) -> Float[Tensor, "n l d"]:
        size = (self.config["sample_size"],) * 2
        if frames.shape[-2:] != size:
            frames = F.interpolate(frames, size, mode="bilinear", antialias=True)
        frames = (2 * frames - 1).contiguous(memory_format=torch.channels_last)
        return self.to_tokens(self.blocks(self.stem(frames))).flatten(2).mT
