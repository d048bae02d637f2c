"""The state of both streams, and their guided velocities."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.inference.text import TextCondition
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel
from videorfsplat.sampling.guidance import GuidancePlan, combine
from videorfsplat.sampling.schedules import TimetableStep

# The transformer is told 1000 · (1 - t), as Mochi is.
NUM_TRAIN_TIMESTEPS = 1000


class Streams(NamedTuple):
    """The state of both streams, and the pose noise that camera guidance contrasts poses with."""

    latents: Float[Tensor, "b c v h w"]
    pose_latents: Float[Tensor, "b 6 v hp wp"]
    pose_noise: Float[Tensor, "b 6 v hp wp"]


# Here and on the coders rather than on the whole run, whose caller works between the steps.
@torch.no_grad()
def predict_velocities(
    transformer: VideoRFSplatTransformer3DModel,
    streams: Streams,
    text: TextCondition,
    plan: GuidancePlan,
    step: TimetableStep,
    attention_kwargs: dict[str, Any] | None,
) -> tuple[Float[Tensor, "b c v h w"], Float[Tensor, "b 6 v hp wp"]]:
    """Guided velocities of both streams: one forward pass with all branches in the batch.

    Args:
        transformer: predicts velocities (clean - noise).
        streams: the state at the step's times.
        text: of each scene.
        plan: the branches of guidance, and the weights that join them.
        step: the times that the transformer is told.
        attention_kwargs: of the run.
    """
    latents, pose_latents, pose_noise = streams
    poses, pose_timesteps, embeds, masks = [], [], [], []
    for branch in plan.branches:
        poses.append(pose_latents if branch.has_pose else pose_noise)
        pose_timesteps.append(_told(step.t_pose if branch.has_pose else 1.0, latents))
        embeds.append(text.prompt_embeds if branch.has_text else text.negative_prompt_embeds)
        masks.append(
            text.prompt_attention_mask if branch.has_text else text.negative_prompt_attention_mask
        )
    dtype, count = transformer.dtype, len(plan.branches)
    velocities, pose_velocities = transformer(
        hidden_states=latents.to(dtype).repeat(count, 1, 1, 1, 1),
        pose_hidden_states=torch.cat(poses).to(dtype),
        encoder_hidden_states=torch.cat(embeds).to(dtype),
        timestep=_told(step.t_image, latents).repeat(count),
        pose_timestep=torch.cat(pose_timesteps),
        encoder_attention_mask=torch.cat(masks),
        attention_kwargs=attention_kwargs,
        return_dict=False,
    )
    return combine(plan.image_weights, velocities), combine(plan.pose_weights, pose_velocities)


def _told(t: float, like: Tensor) -> Float[Tensor, " b"]:
    return torch.full((len(like),), NUM_TRAIN_TIMESTEPS * (1 - t), device=like.device)
