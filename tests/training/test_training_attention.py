"""The attention of training against torch's own."""

import pytest
import torch
from torch.nn import functional as F

from videorfsplat.training.attention import PlainBackwardAttention, training_attention

CPU = torch.device("cpu")


@pytest.fixture
def has_bfloat16(monkeypatch):
    """Training as on a CPU with instructions for bfloat16, whichever this one is."""
    monkeypatch.setattr("videorfsplat.training.attention.multiplies_bfloat16", lambda device: True)


def some_inputs(dtype: torch.dtype = torch.float64):
    torch.manual_seed(0)
    shapes = ((2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 8))
    inputs = tuple(torch.randn(*shape, dtype=dtype, requires_grad=True) for shape in shapes)
    mask = torch.ones(2, 1, 1, 7, dtype=torch.bool)
    mask[1, ..., 4:] = False
    return inputs, mask


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_finite_differences(masked):
    inputs, mask = some_inputs()
    bias = torch.zeros(mask.shape, dtype=torch.float64).masked_fill(~mask, float("-inf"))
    assert torch.autograd.gradcheck(
        lambda *tensors: PlainBackwardAttention.apply(*tensors, bias if masked else None), inputs
    )


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.usefixtures("has_bfloat16", "unchecked_types")
def test_compiled_attention_in_training_is_torchs_attention(masked):
    (query, key, value), mask = some_inputs(torch.float32)

    def attend(*tensors):
        # As after a linear layer: what is compiled sees tensors that are no leaves.
        return F.scaled_dot_product_attention(*tensors, attn_mask=mask if masked else None)

    expected = attend(query, key, value)
    weights = torch.randn_like(expected)
    gradients = torch.autograd.grad((expected * weights).sum(), (query, key, value))
    nodes = []

    def note(graph, example_inputs):
        nodes.extend(graph.graph.nodes)
        return graph.forward

    with training_attention(CPU):
        found = torch.compile(attend, backend=note, fullgraph=True)(query, key, value)
        found_gradients = torch.autograd.grad((found * weights).sum(), (query, key, value))
    assert not any(node.target is F.scaled_dot_product_attention for node in nodes)
    # float32 sums in another order
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found_gradients, gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("has_bfloat16")
def test_outside_of_training_nothing_has_changed():
    def fail_in_training():
        with training_attention(CPU):
            assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
            raise RuntimeError("a step that fails")

    allowed = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()
    with pytest.raises(RuntimeError, match="a step that fails"):
        fail_in_training()
    assert torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed() == allowed


def test_without_bfloat16_torch_chooses(monkeypatch):
    monkeypatch.setattr("videorfsplat.training.attention.multiplies_bfloat16", lambda device: False)
    with training_attention(CPU):
        assert torch.backends.cuda.flash_sdp_enabled()
        (query, key, value), _ = some_inputs(torch.float32)
        found = F.scaled_dot_product_attention(query, key, value)
    assert "Flash" in type(found.grad_fn).__name__
