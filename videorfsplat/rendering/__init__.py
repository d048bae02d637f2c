"""Rendering of Gaussians: `rasterize(gaussians, cameras)` on any device."""

from videorfsplat.rendering.bench import rasterizer_benchmark
from videorfsplat.rendering.rasterization import Backend, rasterize

__all__ = ["Backend", "rasterize", "rasterizer_benchmark"]
