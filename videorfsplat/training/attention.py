"""Which attention kernels training uses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.backends import cuda
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from videorfsplat.training.precision import multiplies_bfloat16


@contextmanager
def training_attention(device: torch.device) -> Iterator[None]:
    """Context of a training loop on a CPU that works in bfloat16; elsewhere torch chooses.

    There the backward pass of torch's fused kernel took half of a whole step. Here attention is
    plain products, not widened to float32; in compiled code that forward pass is the fused one too.
    In float32 (AVX2, 16 scenes, 8 heads, 316 tokens) it is the other way round: forward and
    backward took 0.18 s fused and 0.55 s as products.
    """
    if device.type != "cpu" or not multiplies_bfloat16(device):
        yield
        return
    allowed = cuda.fp16_bf16_reduction_math_sdp_allowed()
    cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel([SDPBackend.MATH]), _CompiledAttention():
            yield
    finally:
        cuda.allow_fp16_bf16_reduction_math_sdp(allowed)


class _CompiledAttention(TorchFunctionMode):
    """Sends attention to `PlainBackwardAttention` wherever it is compiled.

    Uncompiled, that would be slower than torch's plain products: its elementwise parts only pay
    when they are fused.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is F.scaled_dot_product_attention and torch.compiler.is_compiling():
            return _attend(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _attend(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None
) -> Float[Tensor, "b heads n d"]:
    bias = None
    if attn_mask is not None:
        bias = torch.zeros(attn_mask.shape, dtype=query.dtype, device=query.device)
        bias = bias.masked_fill(~attn_mask, float("-inf"))
    return PlainBackwardAttention.apply(query, key, value, bias)


class PlainBackwardAttention(torch.autograd.Function):
    """Attention with torch's fused forward pass for CPUs and a backward pass of plain products.

    `apply(query, key, value, bias)`: query [b,heads,n,d], key and value [b,heads,m,d], bias
    [b|1,1,n|1,m] or `None`, added to the logits, which takes no gradient. Every query must have a
    key whose bias is finite.
    """

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] (named arguments)
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None
    ) -> Tensor:
        """Attended values [b,heads,n,d]."""
        output, log_sums = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, False, attn_mask=bias
        )
        ctx.save_for_backward(query, key, value, bias, output, log_sums)
        return output

    @staticmethod
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (named arguments)
        ctx: Any, v_output: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of query, key and value."""
        query, key, value, bias, output, log_sums = ctx.saved_tensors
        scale = query.shape[-1] ** -0.5
        wide = torch.promote_types(query.dtype, torch.float32)
        logits = (query * scale) @ key.mT
        if bias is not None:
            logits = logits + bias
        weights = (logits.to(wide) - log_sums[..., None]).exp().to(query.dtype)
        # The softmax's gradient takes its mean over the weights, which is output · v_output.
        mean = (v_output.to(wide) * output.to(wide)).sum(-1, keepdim=True)
        v_weights = (v_output @ value.mT).to(wide)
        v_logits = (weights * (v_weights - mean) * scale).to(query.dtype)
        return v_logits @ key, v_logits.mT @ query, weights.mT @ v_output, None
