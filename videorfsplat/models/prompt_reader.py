"""Reads from a text encoder's token states what a sentence states of a scene."""

from typing import NamedTuple

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

RELATIONS: tuple[str, ...] = ("named", "near", "none", "foreign")
"""How a sentence speaks of its main object: it means one of the kinds, or something that no world
has and that a kind stands in for; it names no object; it is not English."""


class PromptReaderOutput(NamedTuple):
    """Logits of everything that can be read.

    Args:
        choices (`list` of `torch.Tensor` of shape `(batch_size, values + 1)`):
            One entry for each single-valued attribute, by name in alphabetical order; the last
            class is "not stated".
        counts (`torch.Tensor` of shape `(batch_size, secondary kinds, max_count + 1)`):
            How many of each secondary object.
        colors (`torch.Tensor` of shape `(batch_size, colors)`):
            Whether a secondary object of each colour is stated; independent logits.
        relation (`torch.Tensor` of shape `(batch_size, 4)`): One of `RELATIONS`.
        names (`torch.Tensor` of shape `(batch_size, length)`):
            Whether a token belongs to the name of the main object; independent logits.
    """

    choices: list[torch.Tensor]
    counts: torch.Tensor
    colors: torch.Tensor
    relation: torch.Tensor
    names: torch.Tensor


class PromptReader(ModelMixin, ConfigMixin):
    r"""
    One learned query an attribute attends over the token states, as the transformer will, and a
    linear head each tells what was found.

    Parameters:
        attributes (`dict` of lists of `str`): Values of each single-valued attribute.
        secondary (`list` of `str`): Kinds of secondary objects.
        secondary_colors (`list` of `str`): Their colours.
        text_embed_dim (`int`): Width of the token states.
        num_attention_heads (`int`): Heads of the attention of the queries.
        max_count (`int`): Most secondary objects of one kind that are told apart.
        filled (`list` of `str`, *optional*):
            Attributes that a completion fills in where a prompt leaves them open; all if absent.
            What the transformer's training captions rarely said together is better left to it.
    """

    @register_to_config
    def __init__(
        self,
        attributes: dict[str, list[str]],
        secondary: list[str],
        secondary_colors: list[str],
        text_embed_dim: int = 384,
        num_attention_heads: int = 12,
        max_count: int = 2,
        filled: list[str] | None = None,
    ) -> None:
        super().__init__()
        # In this order, for configurations are stored with sorted keys.
        self.attribute_names = sorted(attributes)
        choices = [len(attributes[name]) + 1 for name in self.attribute_names]
        sizes = [*choices, *[max_count + 1] * len(secondary), len(secondary_colors), len(RELATIONS)]
        self.num_choices, self.num_counts = len(choices), len(secondary)
        self.queries = nn.Parameter(torch.randn(len(sizes), text_embed_dim) * 0.5)
        self.attention = _Attention(text_embed_dim, num_attention_heads)
        self.norm = nn.LayerNorm(text_embed_dim)
        self.heads = nn.ModuleList(nn.Linear(text_embed_dim, size) for size in sizes)
        self.name_head = nn.Linear(text_embed_dim, 1)

    def forward(
        self,
        encoder_hidden_states: Float[Tensor, "b l d"],
        encoder_attention_mask: Tensor,
    ) -> PromptReaderOutput:
        r"""
        Args:
            encoder_hidden_states (`torch.Tensor` of shape `(batch_size, length, text_embed_dim)`):
                Token states of the text encoder.
            encoder_attention_mask (`torch.Tensor` of shape `(batch_size, length)`):
                Which tokens count; at least one of each row.
        """
        queries = self.queries.expand(len(encoder_hidden_states), -1, -1)
        read = self.attention(queries, encoder_hidden_states, encoder_attention_mask != 0)
        read = self.norm(read)
        found = [head(read[:, index]) for index, head in enumerate(self.heads)]
        first, last = self.num_choices, self.num_choices + self.num_counts
        return PromptReaderOutput(
            choices=found[:first],
            counts=torch.stack(found[first:last], dim=1),
            colors=found[last],
            relation=found[last + 1],
            names=self.name_head(encoder_hidden_states)[..., 0],
        )


class _Attention(nn.Module):
    """`nn.MultiheadAttention` with its weights, but its last layer is called, which offloading
    waits for."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self, queries: Float[Tensor, "b q d"], states: Float[Tensor, "b l d"], mask: Tensor
    ) -> Float[Tensor, "b q d"]:
        """What each query reads from the states that the mask [b, l] lets count."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (
            F.linear(inputs, weight, bias).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for inputs, weight, bias in zip((queries, states, states), weights, biases, strict=True)
        )
        read = F.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        return self.out_proj(read.transpose(1, 2).flatten(2))
