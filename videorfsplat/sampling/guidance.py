"""Guidance: which branches of the transformer a step needs, and how their velocities are combined.

The paper adapts classifier-free guidance to the two clocks, but its formula is not public. Here,
with x_R the poses at their own time, ε pure pose noise (t_pose = 1), c the text and 0 no text, each
condition is contrasted with its absence while the other one stays:

    image: v = v(x_R, c) + (s_c - 1) [v(x_R, c) - v(x_R, 0)] + (s_R - 1) [v(x_R, c) - v(ε, c)]
    pose:  v = v(x_R, c) + (s_p - 1) [v(x_R, c) - v(x_R, 0)]

s_c is `guidance_scale`, s_R `camera_guidance_scale` and s_p `pose_guidance_scale`. A scale of 1 is
off and costs no branch, and nothing jumps on the way there. The nested form, whose camera contrast
v(x_R, 0) - v(ε, 0) is taken without the text, cannot have both: as s_c goes to 1 it still needs
two branches without the text.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.sampling.settings import GuidanceScales


class Branch(NamedTuple):
    """One copy of the batch: with the text or not, with the poses or pure noise in their place."""

    has_text: bool
    has_pose: bool


@dataclass(frozen=True)
class GuidancePlan:
    """The branches of one step and, per stream, the weight of each.

    All weights are 0 for a stream that does not move.
    """

    branches: tuple[Branch, ...]
    image_weights: tuple[float, ...]
    pose_weights: tuple[float, ...]


def plan_branches(
    scales: GuidanceScales,
    *,
    image_moves: bool = True,
    pose_moves: bool = True,
    pose_is_noise: bool = False,
) -> GuidancePlan:
    """The fewest branches that the guidance of one step needs, the full one first.

    Args:
        scales: the three scales.
        image_moves: whether this step denoises the image stream; if not, its guidance is free.
        pose_moves: the same for the pose stream.
        pose_is_noise: whether t_pose = 1, where both sides of the camera contrast are one branch.
    """
    camera_scale = 1.0 if pose_is_noise else scales.camera_guidance_scale
    image = _image_weights(scales.guidance_scale, camera_scale) if image_moves else {}
    pose = _pose_weights(scales.pose_guidance_scale) if pose_moves else {}
    branches = tuple(sorted(image.keys() | pose.keys(), reverse=True))
    return GuidancePlan(
        branches,
        tuple(image.get(branch, 0.0) for branch in branches),
        tuple(pose.get(branch, 0.0) for branch in branches),
    )


def combine(
    weights: tuple[float, ...], velocities: Float[Tensor, "kb c v h w"]
) -> Float[Tensor, "b c v h w"]:
    """The weighted sum over branches, in float32.

    Args:
        weights: one a branch.
        velocities: the batch of the first branch, then that of the second, and so on.
    """
    branches = velocities.to(torch.float32).unflatten(0, (len(weights), -1))
    combined = torch.zeros_like(branches[0])
    for weight, branch in zip(weights, branches, strict=True):
        # A branch that only the other stream needs must not pass on a value that is not finite.
        if weight != 0:
            combined = combined + weight * branch
    return combined


def _image_weights(text_scale: float, camera_scale: float) -> dict[Branch, float]:
    weights = {
        Branch(True, True): text_scale + camera_scale - 1,
        Branch(False, True): 1 - text_scale,
        Branch(True, False): 1 - camera_scale,
    }
    return {branch: weight for branch, weight in weights.items() if weight != 0}


def _pose_weights(text_scale: float) -> dict[Branch, float]:
    weights = {Branch(True, True): text_scale, Branch(False, True): 1 - text_scale}
    return {branch: weight for branch, weight in weights.items() if weight != 0}
