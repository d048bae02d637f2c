"""Rectified flow as Mochi counts it: what a step of training mixes, tells and asks for.

t = 1 is noise and t = 0 is data; the transformer is told 1000·(1 − t) and predicts clean − noise,
which is what a scheduler with `invert_sigmas=True` steps along.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.training.step_data import StepRandomness


@dataclass(frozen=True)
class TimeDistribution:
    """How the noise levels of the two streams are drawn: logit-normal, each on its own.

    Views of one scene say the same things again and again, so that a whole scene can still be told
    through noise that hides a single view. With V views the means are raised by ½·ln V, the shift
    that keeps the signal of all views together where it is for one (Esser et al. 2024, section
    5.3.2, who give it for pixels). Raymaps repeat themselves far more than images do.

    The masses at the ends put given cameras, dropped cameras and given images in distribution
    (design: independent times need no separate dropout).
    """

    mean: float = 1.0
    """Of the image times' logits, for a single view."""
    std: float = 1.4
    """Of the image times' logits."""
    pose_mean: float = 2.5
    """Of the pose times' logits, for a single view."""
    pose_std: float = 1.5
    """Of the pose times' logits."""
    pose_clean: float = 0.1
    """Share of samples with t_pose = 0."""
    pose_noise: float = 0.15
    """Share of samples with t_pose = 1."""
    image_clean: float = 0.05
    """Share of samples with t_image = 0, taken from those with neither of the above."""

    def shifts(self, num_views: int) -> tuple[float, float]:
        """Timetable shifts of image and pose times that give sampling the median times of training.

        The median of a logit-normal is where an even clock bent by e^mean is after half its steps.
        """
        rise = 0.5 * math.log(num_views)
        return math.exp(self.mean + rise), math.exp(self.pose_mean + rise)

    def draw(
        self, randomness: StepRandomness, batch_size: int, num_views: int = 1
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Times of the image stream and of the pose stream."""
        rise = 0.5 * math.log(num_views)
        image_logits = self.mean + rise + self.std * randomness.randn(batch_size)
        pose_logits = self.pose_mean + rise + self.pose_std * randomness.randn(batch_size)
        t_image, t_pose = torch.sigmoid(image_logits), torch.sigmoid(pose_logits)
        choice = randomness.rand(batch_size)
        edges = torch.tensor([self.pose_clean, self.pose_noise, self.image_clean]).cumsum(0)
        t_pose = torch.where(choice < edges[0], 0.0, t_pose)
        t_pose = torch.where((choice >= edges[0]) & (choice < edges[1]), 1.0, t_pose)
        t_image = torch.where((choice >= edges[1]) & (choice < edges[2]), 0.0, t_image)
        return t_image, t_pose


def mix(
    clean: Float[Tensor, "b *rest"], noise: Float[Tensor, "b *rest"], t: Float[Tensor, " b"]
) -> Float[Tensor, "b *rest"]:
    """The noisy state at time t: (1 − t)·clean + t·noise."""
    t = t.view(-1, *(1,) * (clean.ndim - 1)).to(clean.dtype)
    return (1 - t) * clean + t * noise


def velocity_loss(
    velocity: Float[Tensor, "b *rest"],
    clean: Float[Tensor, "b *rest"],
    noise: Float[Tensor, "b *rest"],
    t: Float[Tensor, " b"],
    count: Float[Tensor, ""] | None = None,
) -> Float[Tensor, ""]:
    """Mean squared error to clean − noise over the samples whose stream is not given (t > 0).

    Args:
        velocity: as predicted.
        clean: t = 0.
        noise: t = 1.
        t: times of the samples.
        count: what the sum over samples is divided by, instead of the number of those not given.
            Processes that share a batch divide by one number, so that the mean of their losses is
            the loss of the batch.
    """
    errors = (velocity.float() - (clean - noise)).square().flatten(1).mean(1)
    asked = (t > 0).to(errors.dtype)
    return (errors * asked).sum() / (asked.sum().clamp(min=1) if count is None else count)
