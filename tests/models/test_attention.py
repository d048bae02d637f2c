"""Batched attention against diffusers' own, and the exchange between the streams."""

import math

import pytest
import torch
from diffusers.models.attention_processor import MochiAttention, MochiAttnProcessor2_0
from torch import nn

from videorfsplat.models.attention import (
    BatchedMochiAttnProcessor,
    StreamExchange,
    apply_rotary_embedding,
)


def mochi_attention(context_pre_only: bool) -> MochiAttention:
    torch.manual_seed(0)
    attention = MochiAttention(
        query_dim=16,
        added_kv_proj_dim=12,
        processor=BatchedMochiAttnProcessor(),
        heads=2,
        dim_head=8,
        out_dim=16,
        out_context_dim=12,
        context_pre_only=context_pre_only,
    )
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.5)
    return attention


def some_angles(tokens: int, heads: int = 2, half: int = 4):
    angles = torch.rand(tokens, heads, half) * 2 * math.pi
    return angles.cos(), angles.sin()


@pytest.mark.parametrize("context_pre_only", [False, True])
@pytest.mark.parametrize("rotary", [False, True])
def test_batched_attention_gives_what_diffusers_gives(context_pre_only, rotary):
    attention = mochi_attention(context_pre_only)
    image, text = torch.randn(4, 6, 16), torch.randn(4, 5, 12)
    # All tokens, some, one, none: the last is the empty prompt.
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    arguments = (attention, image, text, mask, some_angles(6) if rotary else None)
    expected = MochiAttnProcessor2_0()(*arguments)
    found = BatchedMochiAttnProcessor()(*arguments)
    for one, other in zip(found, expected, strict=True):
        # The masked softmax sums the same float32 terms in another order.
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_padding_tokens_have_no_influence():
    attention = mochi_attention(False)
    image, text = torch.randn(1, 6, 16), torch.randn(1, 5, 12)
    mask = torch.tensor([[True, True, True, False, False]])
    changed = text.clone()
    changed[:, 3:] += 100
    processor = BatchedMochiAttnProcessor()
    for one, other in zip(
        processor(attention, image, text, mask),
        processor(attention, image, changed, mask),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_rotary_products_depend_on_differences_of_angles():
    query, key = torch.randn(1, 1, 2, 8), torch.randn(1, 1, 2, 8)

    def turned(states, angle):
        angles = torch.full((1, 2, 4), angle)
        return apply_rotary_embedding(states, (angles.cos(), angles.sin()))

    def product(query_angle, key_angle):
        return (turned(query, query_angle) * turned(key, key_angle)).sum(-1)

    torch.testing.assert_close(product(0.3, 1.1), product(2.3, 3.1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(product(0.0, 0.0), (query * key).sum(-1))
    assert (product(0.3, 1.1) - product(0.3, 2.1)).abs().max() > 0.01


def exchange_and_inputs():
    torch.manual_seed(1)
    exchange = StreamExchange(dim=16, pose_dim=8, num_heads=2, head_dim=8)
    image, pose = torch.randn(2, 6, 16), torch.randn(2, 4, 8)
    temb, pose_temb = torch.randn(2, 16), torch.randn(2, 8)
    return exchange, [image, pose, temb, pose_temb, some_angles(6), some_angles(4)]


def test_the_exchange_starts_as_the_identity():
    exchange, inputs = exchange_and_inputs()
    image, pose = exchange(*inputs)
    assert torch.equal(image, inputs[0])
    assert torch.equal(pose, inputs[1])


@pytest.mark.parametrize("changed", range(6))
def test_the_exchange_reads_both_streams_both_times_and_both_places(changed):
    exchange, inputs = exchange_and_inputs()
    for side in (exchange.to_image, exchange.to_pose):
        nn.init.normal_(side.to_out.weight)
    added = [after - before for after, before in zip(exchange(*inputs), inputs, strict=False)]
    other = list(inputs)
    other[changed] = (
        some_angles(len(inputs[changed][0])) if changed > 3 else torch.randn_like(inputs[changed])
    )
    for one, two in zip(
        added, [a - b for a, b in zip(exchange(*other), other, strict=False)], strict=True
    ):
        assert (one - two).abs().max() > 1e-3


def test_both_directions_use_the_old_values():
    exchange, inputs = exchange_and_inputs()
    for side in (exchange.to_image, exchange.to_pose):
        nn.init.normal_(side.to_out.weight)
    image, pose = exchange(*inputs)
    nn.init.zeros_(exchange.to_image.to_out.weight)
    assert torch.equal(exchange(*inputs)[1], pose)
    nn.init.normal_(exchange.to_image.to_out.weight)
    assert not torch.equal(exchange(*inputs)[0], image)
    assert torch.equal(exchange(*inputs)[1], pose)
