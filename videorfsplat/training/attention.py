"""Which attention kernels training uses."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


def training_attention(device: torch.device) -> AbstractContextManager[Any]:
    """Context of a training loop: plain products on a CPU, torch's own choice elsewhere.

    On a CPU the backward pass of the fused kernel took half of a whole step at 44 tokens.
    """
    return sdpa_kernel([SDPBackend.MATH]) if device.type == "cpu" else nullcontext()
