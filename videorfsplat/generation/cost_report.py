"""Seconds and memory of a generation on known GPUs, from counted costs and stated assumptions."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.models import cost
from videorfsplat.models.configurations import full_models
from videorfsplat.sampling.guidance import plan_branches
from videorfsplat.sampling.settings import Sampling

GIGABYTE = 1e9


@dataclass(frozen=True)
class Gpu:
    """What a data sheet says."""

    name: str
    flops: float
    """Dense bfloat16 operations a second."""
    memory: float
    """Bytes."""
    bus: float
    """Bytes a second from the CPU's memory, of PCIe."""


GPUS = (
    # NVIDIA H100 SXM data sheet: 1,979 TFLOPS with sparsity, half without; PCIe 5.0 x16.
    Gpu("H100 80 GB", 989e12, 80e9, 50e9),
    # NVIDIA Ada whitepaper, Table 2: bf16 with fp32 accumulation, dense; PCIe 4.0 x16.
    Gpu("RTX 4090 24 GB", 165e12, 24e9, 25e9),
)
UTILISATION = 0.4
"""Share of the data sheet's operations that transformers reach in practice."""
ASSUMPTIONS = (
    f"{UTILISATION:.0%} of the data sheet's dense bfloat16 operations are reached",
    "weights and activations in bfloat16; fp8 halves the transformer's weights, not its operations",
    "offloaded parts cross the bus once a scene, groups of layers once a step beside the work",
    "frames are decoded one by one; the runtime takes 1 GB beside the peaks",
)
_RUNTIME_BYTES = 1e9


def full_size_report() -> dict[str, Any]:
    """Operations, peak memory and seconds of one scene at full size, at default settings."""
    num_inference_steps = GenerationSettings.num_inference_steps
    branches = len(plan_branches(Sampling().scales).branches)
    stages, weights = _count(branches)
    bytes_of = {name: 2 * count for name, count in weights.items()}
    step = stages["denoise"]
    total = sum(s.flops for n, s in stages.items() if n != "denoise")
    total += num_inference_steps * step.flops
    peaks = _peaks(stages, bytes_of)
    return {
        "views": "8 of 320x512",
        "num_inference_steps": num_inference_steps,
        "guidance_branches": branches,
        "tflop_per_step": round(step.flops / 1e12, 1),
        "tflop_per_scene": round(total / 1e12, 1),
        "peak_gigabytes": {
            mode: {stage: round(size / GIGABYTE, 1) for stage, size in peak.items()}
            for mode, peak in peaks.items()
        },
        "seconds": {
            gpu.name: _seconds(gpu, total, peaks, bytes_of, num_inference_steps) for gpu in GPUS
        },
        "assumptions": list(ASSUMPTIONS),
    }


_PARTS = {
    "text": "text_encoder",
    "denoise": "transformer",
    "frames": "vae",
    "gaussians": "gaussian_decoder",
}


def _count(branches: int) -> tuple[dict[str, cost.StageCost], dict[str, int]]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with FakeTensorMode():
            models = full_models()
            transformer: Any = models["transformer"]
            names = inspect.signature(type(transformer).__init__).parameters
            config = {k: v for k, v in transformer.config.items() if k in names}
            views, size = config["num_views"], config["sample_size"]
            vae: Any = models["vae"]
            decoder: Any = models["gaussian_decoder"]
            stages = {
                "text": cost.text_encoding(models["text_encoder"]),
                "denoise": cost.transformer_step(config, branches),
                "frames": cost.frame_decoding(vae, views, *size),
                "gaussians": cost.gaussian_decoding(decoder, views, *size),
            }
    finally:
        torch.set_default_dtype(before)
    return stages, {k: sum(p.numel() for p in m.parameters()) for k, m in models.items()}


def _peaks(
    stages: dict[str, cost.StageCost], bytes_of: dict[str, int]
) -> dict[str, dict[str, float]]:
    """Bytes on the device in every stage, by how the weights are kept."""
    fp8 = bytes_of | {"transformer": bytes_of["transformer"] // 2}
    everything, everything_fp8 = sum(bytes_of.values()), sum(fp8.values())
    held = {
        "resident": dict.fromkeys(stages, everything),
        "resident, fp8 transformer": dict.fromkeys(stages, everything_fp8),
        "parts offloaded": {stage: bytes_of[part] for stage, part in _PARTS.items()},
        "parts offloaded, fp8 transformer": {stage: fp8[part] for stage, part in _PARTS.items()},
        # Two layers at once, the one that works and the one that comes: nothing beside activations.
        "layers offloaded": dict.fromkeys(stages, 0),
    }
    return {
        mode: {stage: held[mode][stage] + stages[stage].activation_bytes for stage in stages}
        for mode in held
    }


def _seconds(
    gpu: Gpu,
    flops: float,
    peaks: dict[str, dict[str, float]],
    bytes_of: dict[str, int],
    num_inference_steps: int,
) -> dict[str, float | str]:
    """Expected seconds a scene by mode, or what it lacks."""
    work = flops / (gpu.flops * UTILISATION)
    once = sum(bytes_of.values()) / gpu.bus
    every_step = num_inference_steps * bytes_of["transformer"] / gpu.bus
    seconds = {
        "resident": work,
        "resident, fp8 transformer": work,
        "parts offloaded": work + once,
        "parts offloaded, fp8 transformer": work + once,
        "layers offloaded": max(work, every_step) + once,
    }
    needed = {mode: max(peak.values()) + _RUNTIME_BYTES for mode, peak in peaks.items()}
    return {
        mode: round(value, 1)
        if needed[mode] < gpu.memory
        else f"needs {needed[mode] / GIGABYTE:.0f} GB"
        for mode, value in seconds.items()
    }
