"""Which attention kernels training uses."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def training_attention(device: torch.device) -> AbstractContextManager[None]:
    """Context of a training loop: plain products on a CPU, torch's own choice elsewhere.

    On a CPU the backward pass of the fused kernel took half of a whole step at 44 tokens.
    """
    return sdpa_kernel([SDPBackend.MATH]) if device.type == "cpu" else nullcontext()
