"""Gives a transformer another text encoder, whose token states one linear map turns into the old
ones."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel

_STREAMS = ("image_stream", "pose_stream")
# Mochi's pooling of text tokens has eight heads at every size.
_POOL_HEADS = 8


def fold_text_projection(
    transformer: VideoRFSplatTransformer3DModel, projection: Float[Tensor, "old new"]
) -> VideoRFSplatTransformer3DModel:
    """A transformer that gives for token states `x` what the old one gives for `projection @ x`.

    The map goes into the layers that read token states; where those have heads, their places are
    filled with zeros. No weight of any block changes.

    Raises:
        ValueError: if the projection does not lead to the width that the transformer takes, or its
            own width does not divide among the heads of the text pooling.
    """
    old, new = projection.shape
    if old != transformer.config["text_embed_dim"] or new < old or new % _POOL_HEADS:
        raise ValueError(
            f"expected a projection to {transformer.config['text_embed_dim']} numbers from as many "
            f"or more, a multiple of {_POOL_HEADS}, got {tuple(projection.shape)}"
        )
    config: dict[str, Any] = {**transformer.config, "text_embed_dim": new}
    folded: Any = VideoRFSplatTransformer3DModel.from_config(config)
    folded.load_state_dict(fold_state(transformer.state_dict(), projection))
    return folded.to(transformer.dtype).eval()


def fold_state(
    state: dict[str, Tensor], projection: Float[Tensor, "old new"], prefix: str = ""
) -> dict[str, Tensor]:
    """The weights of a transformer, or of a LoRA of one, for states before the projection.

    Args:
        state: of the transformer (`….weight`, `….bias`) or of its LoRA (`….lora_A.weight`,
            `….lora_B.weight`).
        projection: from new token states to old ones.
        prefix: before the names of the transformer's parts.
    """
    folded = dict(state)
    for stream in _STREAMS:
        for layer in ("caption_proj", "pooler.to_q", "pooler.to_kv", "pooler.to_out"):
            name = f"{prefix}{stream}.time_embed.{layer}"
            for key in [key for key in state if key.startswith(f"{name}.")]:
                folded[key] = _fold(layer, key, state[key], projection)
    return folded


def _fold(layer: str, key: str, value: Tensor, projection: Float[Tensor, "old new"]) -> Tensor:
    reads_states = layer != "pooler.to_out"
    has_inputs = key.endswith((".lora_A.weight", ".weight")) and ".lora_B." not in key
    has_outputs = not key.endswith(".lora_A.weight")
    old, new = projection.shape
    result = value.float()
    if has_inputs:
        result = result @ projection.float() if reads_states else _spread(result.T, old, new).T
    if has_outputs and layer == "pooler.to_q":
        # Attention divides by the root of the heads' width, which has grown.
        result = _spread(result, old, new) * (new / old) ** 0.5
    if has_outputs and layer == "pooler.to_kv":
        result = torch.cat([_spread(part, old, new) for part in result.chunk(2)])
    return result.to(value.dtype).contiguous()


def _spread(rows: Tensor, old: int, new: int) -> Tensor:
    """Rows of heads [heads × old width, …] with zeros up to the new width of every head."""
    heads = rows.unflatten(0, (_POOL_HEADS, old // _POOL_HEADS))
    room = (new - old) // _POOL_HEADS
    zeros = heads.new_zeros(_POOL_HEADS, room, *heads.shape[2:])
    return torch.cat([heads, zeros], dim=1).flatten(0, 1)
