"""What is measured of one scene: attributes, motion, likeness of images, their features."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.image import structural_similarity_index_measure

from videorfsplat.data.worlds.caption_words import (
    UNMENTIONED,
)
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.models.efficientnet_lite import efficientnet_lite0

# The motion is judged from cameras (`camera_motion`), not from pixels.
_NOT_IN_PIXELS = ("motion",)

AttributeScore = dict[str, list[bool]]
"""One flag for each thing stated, by attribute; attributes that are not spoken of are absent."""


def score_attributes(mentions: dict[str, Any], seen: dict[str, Any]) -> AttributeScore:
    """Whether the probe sees what was said.

    Secondary objects count by kind, and right means the stated number of that kind. Of their
    colours each stated one must be there.

    Args:
        mentions: what a prompt states, as `captions.caption_mentions` gives it.
        seen: what the probe read.
    """
    score: AttributeScore = {}
    for name, stated in mentions.items():
        if name in _NOT_IN_PIXELS or not stated or stated == UNMENTIONED:
            continue
        if name == "secondary":
            score[name] = [stated.count(kind) == seen[name].count(kind) for kind in _once(stated)]
        elif name == "secondary_color":
            score[name] = [color in seen[name] for color in _once(stated)]
        else:
            score[name] = [stated == seen[name]]
    return score


def count_right(score: AttributeScore) -> int:
    """Things stated that were seen."""
    return sum(sum(flags) for flags in score.values())


def count_stated(score: AttributeScore) -> int:
    """Things stated."""
    return sum(len(flags) for flags in score.values())


def shares_by_attribute(scores: Iterable[AttributeScore]) -> dict[str, float]:
    """Share of what was stated of each attribute that was seen, over all scores."""
    flags: AttributeScore = {}
    for score in scores:
        for name, values in score.items():
            flags.setdefault(name, []).extend(values)
    return {name: sum(values) / len(values) for name, values in sorted(flags.items())}


def _once(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


STILL = "still"
# Below both, cameras stand still: a fifth of the smallest motion of the procedural worlds.
_LEAST_MOVE = 0.02
_LEAST_TURN = math.radians(1.5)
# Way over turn, as an angle (way in scene units, turn in radians): 0 on the spot, 45° around
# something a unit away, 90° without a turn. True paths lie within 0, 35 to 60 and 90 degrees.
_ON_THE_SPOT = math.radians(22.5)
_WITHOUT_TURN = math.radians(67.5)


def camera_motion(cameras: Cameras) -> str:
    """The motion from the first camera to the last: one of `motions.MOTIONS`, or `STILL`.

    Directions are those of the first camera. The unit of length is the scene's, in which the first
    camera sees the scene at a depth of about 1.
    """
    last = cameras.relative_to_first().camtoworlds[-1].double()
    x, y, z = last[:3, 3].tolist()
    forward_x, forward_y, forward_z = last[:3, 2].tolist()
    move = math.hypot(x, y, z)
    turn = math.atan2(math.hypot(forward_x, forward_y), forward_z)
    if move < _LEAST_MOVE and turn < _LEAST_TURN:
        return STILL
    way = math.atan2(move, turn)
    if way < _ON_THE_SPOT:
        return "pan_right" if forward_x > 0 else "pan_left"
    if abs(y) > max(abs(x), abs(z)):
        return "crane_down" if y > 0 else "crane_up"
    if way < _WITHOUT_TURN:
        return "orbit_right" if x > 0 else "orbit_left"
    if abs(x) > abs(z):
        return "truck_right" if x > 0 else "truck_left"
    return "dolly_in" if z > 0 else "dolly_out"


def direction(motion: str) -> str:
    """The word for where a motion goes: left, right, up, down, in, out, or `STILL`."""
    return motion.rpartition("_")[2]


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
