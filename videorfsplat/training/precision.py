"""Where training may work in bfloat16."""

import torch


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products.

    A CPU without them emulates: on one with AVX2 only, products took seventy times as long as in
    float32.
    """
    if device.type != "cpu":
        return True
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))


def low_precision(device: torch.device) -> torch.autocast:
    """Context for fixed networks: bfloat16 where the device has it, otherwise nothing."""
    enabled = multiplies_bfloat16(device)
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


def resolve_precision(mixed_precision: str, device: torch.device) -> str:
    """accelerate's word for `auto`: `bf16` where the device multiplies it, else `no`."""
    if mixed_precision != "auto":
        return mixed_precision
    return "bf16" if multiplies_bfloat16(device) else "no"
