"""How a model is kept in memory while it generates: plain data, checked before it is loaded."""

from dataclasses import dataclass

DTYPES = ("float32", "bfloat16", "float16")
OFFLOADS = ("none", "model", "group")


@dataclass(frozen=True)
class MemorySettings:
    """What is traded for memory; the defaults trade nothing.

    Raises:
        ValueError: naming the setting, what it is and what it may be.
    """

    dtype: str = "float32"
    """Precision of weights and activations."""
    offload: str = "none"
    """`model` keeps the part that works on the device and the others on the CPU; `group` does so
    with single layers of all parts."""
    fp8: bool = False
    """Keep the transformer's weights in 8 bits, and compute in `dtype`."""
    tiling: bool = False
    """Decode frames one by one and in tiles."""
    compile: bool = False
    """Compile the transformer's blocks: minutes at the first scene, faster steps from then on."""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.offload not in OFFLOADS:
            raise ValueError(f"offload must be one of {', '.join(OFFLOADS)}, got {self.offload!r}")
