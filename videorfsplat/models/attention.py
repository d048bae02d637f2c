"""Attention of both streams, and the exchange between them."""

import torch
from diffusers.models.attention_processor import MochiAttention
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

RotaryEmbedding = tuple[Float[Tensor, "n heads half"], Float[Tensor, "n heads half"]]
_OtherRotaryEmbedding = tuple[Float[Tensor, "m heads half"], Float[Tensor, "m heads half"]]


class BatchedMochiAttnProcessor:
    """Mochi's joint attention over image and text tokens, for the whole batch in one call.

    Gives what diffusers' `MochiAttnProcessor2_0` gives, which drops each sample's padding tokens
    and loops over the batch in Python; here padding is masked, and its outputs are zeroed alike.
    """

    def __call__(
        self,
        attn: MochiAttention,
        hidden_states: Float[Tensor, "b n d"],
        encoder_hidden_states: Float[Tensor, "b l e"],
        attention_mask: Tensor,
        image_rotary_emb: RotaryEmbedding | None = None,
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b l f"]]:
        """Outputs for image tokens and for text tokens; arguments as diffusers' processor."""
        num_tokens = hidden_states.shape[1]
        query, key, value = (
            split_heads(projection(hidden_states), attn.heads)
            for projection in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = attn.norm_q(query), attn.norm_k(key)
        if image_rotary_emb is not None:
            query = apply_rotary_embedding(query, image_rotary_emb)
            key = apply_rotary_embedding(key, image_rotary_emb)
        text_query, text_key, text_value = (
            split_heads(projection(encoder_hidden_states), attn.heads)
            for projection in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
        )
        query = torch.cat([query, attn.norm_added_q(text_query)], dim=1)
        key = torch.cat([key, attn.norm_added_k(text_key)], dim=1)
        value = torch.cat([value, text_value], dim=1)
        text_mask = attention_mask.bool()
        mask = F.pad(text_mask, (num_tokens, 0), value=True)[:, None, None]
        output = attend(query, key, value, mask)
        text_output = output[:, num_tokens:] * text_mask[..., None].to(output.dtype)
        hidden_states = attn.to_out[1](attn.to_out[0](output[:, :num_tokens]))
        if hasattr(attn, "to_add_out"):
            text_output = attn.to_add_out(text_output)
        return hidden_states, text_output


class StreamExchange(nn.Module):
    """Both directions of cross-attention between the two streams, from the old values of both.

    `h_R += Z_R CA([h_R; e(t_R)], [h_I; e(t_I)])` and the same with I and R exchanged, where `;`
    joins channels, so that each side is told the other's time. Tokens carry their place (view, row,
    column) by rotary embedding, as in the streams' own attention. The output projections Z start at
    zero and leave a pretrained stream as it is (VideoRFSplat, section 3).

    Args:
        dim: width of the image stream (its conditioning has the same width).
        pose_dim: width of the pose stream (likewise).
        num_heads: heads of the exchange.
        head_dim: width of a head.
    """

    def __init__(self, dim: int, pose_dim: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.to_image = _CrossAttention(dim, pose_dim, num_heads, head_dim)
        self.to_pose = _CrossAttention(pose_dim, dim, num_heads, head_dim)

    def forward(
        self,
        hidden_states: Float[Tensor, "b n d"],
        pose_hidden_states: Float[Tensor, "b m e"],
        temb: Float[Tensor, "b d"],
        pose_temb: Float[Tensor, "b e"],
        rotary_emb: RotaryEmbedding,
        pose_rotary_emb: _OtherRotaryEmbedding,
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b m e"]]:
        """Both streams after the exchange."""
        image = (hidden_states, temb, rotary_emb)
        pose = (pose_hidden_states, pose_temb, pose_rotary_emb)
        return (
            hidden_states + self.to_image(*image, *pose),
            pose_hidden_states + self.to_pose(*pose, *image),
        )


class _CrossAttention(nn.Module):
    """Cross-attention from one stream to the other, with a zero-initialised output."""

    def __init__(self, dim: int, other_dim: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        inner = num_heads * head_dim
        self.num_heads = num_heads
        self.norm = nn.RMSNorm(dim, eps=1e-5)
        self.other_norm = nn.RMSNorm(other_dim, eps=1e-5)
        self.to_q = nn.Linear(2 * dim, inner, bias=False)
        self.to_k = nn.Linear(2 * other_dim, inner, bias=False)
        self.to_v = nn.Linear(2 * other_dim, inner, bias=False)
        self.norm_q = nn.RMSNorm(head_dim, eps=1e-5)
        self.norm_k = nn.RMSNorm(head_dim, eps=1e-5)
        self.to_out = nn.Linear(inner, dim, bias=False)
        nn.init.zeros_(self.to_out.weight)

    def forward(
        self,
        hidden_states: Tensor,
        temb: Tensor,
        rotary_emb: RotaryEmbedding,
        other_hidden_states: Tensor,
        other_temb: Tensor,
        other_rotary_emb: _OtherRotaryEmbedding,
    ) -> Tensor:
        queries = _join_channels(self.norm(hidden_states), temb)
        others = _join_channels(self.other_norm(other_hidden_states), other_temb)
        query, key, value = (
            split_heads(projection(states), self.num_heads)
            for projection, states in (
                (self.to_q, queries),
                (self.to_k, others),
                (self.to_v, others),
            )
        )
        query = apply_rotary_embedding(self.norm_q(query), rotary_emb)
        key = apply_rotary_embedding(self.norm_k(key), other_rotary_emb)
        return self.to_out(attend(query, key, value))


def _join_channels(hidden_states: Tensor, temb: Tensor) -> Tensor:
    temb = F.silu(temb)[:, None].expand(-1, hidden_states.shape[1], -1)
    return torch.cat([hidden_states, temb.to(hidden_states.dtype)], dim=-1)


def split_heads(states: Float[Tensor, "b n c"], heads: int) -> Float[Tensor, "b n heads d"]:
    """The last axis as heads times their width."""
    return states.reshape(*states.shape[:2], heads, -1)


def attend(
    query: Float[Tensor, "b n heads d"],
    key: Float[Tensor, "b m heads d"],
    value: Float[Tensor, "b m heads d"],
    mask: Tensor | None = None,
) -> Float[Tensor, "b n c"]:
    """Scaled dot-product attention, heads joined again in the last axis."""
    output = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.to(query.dtype).transpose(1, 2),
        attn_mask=mask,
    )
    return output.transpose(1, 2).flatten(2, 3)


def apply_rotary_embedding(
    states: Float[Tensor, "b n heads d"], rotary_emb: RotaryEmbedding
) -> Float[Tensor, "b n heads d"]:
    """Rotate each pair of neighbouring channels by its angle, as Mochi does."""
    cos, sin = rotary_emb
    even, odd = states[..., 0::2].float(), states[..., 1::2].float()
    rotated = torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1)
    return rotated.flatten(-2).to(states.dtype)
