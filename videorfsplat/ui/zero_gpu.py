"""Hugging Face's ZeroGPU: a GPU for the length of one call. Without effect elsewhere."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

# Seconds on the GPU, generously: an unused rest is given back, a run cut short is lost.
_SECONDS_PER_STEP = 0.5
_SECONDS_TO_DECODE = 10


def on_zero_gpu() -> bool:
    """Whether this process runs on a ZeroGPU Space, where models are loaded before the launch."""
    return bool(os.environ.get("SPACES_ZERO_GPU"))


def gpu_seconds(num_inference_steps: int) -> int:
    """How long a run may hold the GPU."""
    return round(_SECONDS_TO_DECODE + _SECONDS_PER_STEP * num_inference_steps)


def wait_in_words(num_inference_steps: int, runs: int = 1) -> str:
    """What whoever stands in line should know; where GPUs are lent, how much of theirs it takes."""
    if not on_zero_gpu():
        return "Your turn comes soon."
    return f"It takes at most {runs * gpu_seconds(num_inference_steps)} s of your GPU time."


def with_gpu(function: Callable[..., Any], duration: Callable[..., int]) -> Callable[..., Any]:
    """`function`, which gets a GPU while it runs where GPUs are lent by the call.

    Args:
        function: may be a generator; must take and give plain data.
        duration: seconds, from the same arguments.
    """
    if importlib.util.find_spec("spaces") is None:
        return function
    import spaces  # pyright: ignore[reportMissingImports]

    return spaces.GPU(duration=duration)(function)
