"""Counted operations and memory against what can be said by hand and against real runs."""

import pytest
import torch
from tiny import NUM_VIEWS, tiny_gaussian_decoder, tiny_vae
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from videorfsplat.models import cost
from videorfsplat.models.one_frame import decode_frames
from videorfsplat.models.transformer_videorfsplat import VideoRFSplatTransformer3DModel

CONFIG = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 10,
    "pooled_projection_dim": 16,
    "pose_num_attention_heads": 2,
    "pose_attention_head_dim": 8,
    "pose_num_layers": 5,
    "pose_pooled_projection_dim": 8,
    "exchange_num_heads": 2,
    "exchange_head_dim": 8,
    "in_channels": 12,
    "pose_in_channels": 6,
    "text_embed_dim": 16,
    "time_embed_dim": 16,
    "num_views": 3,
    "sample_size": (4, 6),
}


def test_a_product_is_counted_by_hand():
    with FakeTensorMode():
        layer, inputs = nn.Linear(30, 50, bias=False), torch.empty(7, 30)
        found = cost.measure(layer, lambda: layer(inputs).relu())
    assert found.flops == 2 * 7 * 30 * 50
    # The product and what the ReLU makes of it, float32; the weight is not counted.
    assert found.activation_bytes == 2 * 4 * 7 * 50


def test_memory_that_is_freed_is_used_again():
    def stage():
        state = layer(inputs)
        for _ in range(5):
            state = state.relu()

    with FakeTensorMode():
        layer, inputs = nn.Linear(30, 50, bias=False), torch.empty(7, 30)
        found = cost.measure(layer, stage)
    assert found.activation_bytes == 2 * 4 * 7 * 50


def test_attention_is_counted_whatever_the_kernel():
    with FakeTensorMode():
        query = torch.empty(2, 4, 10, 16)
        found = cost.measure(nn.Module(), lambda: F.scaled_dot_product_attention(*[query] * 3))
    # Two products of 10×16×10 in each of 2×4 heads.
    assert found.flops == 2 * 4 * 2 * (2 * 10 * 16 * 10)


def test_a_step_of_the_transformer_costs_what_all_of_its_blocks_do():
    with FakeTensorMode():
        found = cost.transformer_step(CONFIG, branches=3, text_tokens=12)
        whole = cost._step(VideoRFSplatTransformer3DModel(**CONFIG), 12)
    assert found.flops == 3 * whole.flops
    assert found.activation_bytes == pytest.approx(3 * whole.activation_bytes, rel=0.1)


def test_fake_tensors_count_as_real_ones():
    with FakeTensorMode():
        vae = tiny_vae()
        found = cost.frame_decoding(vae, NUM_VIEWS, 4, 6)
        decoded = cost.gaussian_decoding(tiny_gaussian_decoder(vae), NUM_VIEWS, 4, 6)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        decode_frames(tiny_vae(), torch.zeros(NUM_VIEWS, 12, 4, 6))
    assert found.flops == counter.get_total_flops()
    assert decoded.flops > 0
    assert decoded.activation_bytes > 0
