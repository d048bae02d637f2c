"""Rendering of Gaussians: `rasterization.rasterize(gaussians, cameras)` on any device.

Nothing is imported here: `kernel_compilation` must start without torch.
"""
