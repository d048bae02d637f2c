"""World axes in files: OpenCV's, as everywhere in the package, or OpenGL's for tools with +y up.

The two differ by half a turn about x, so converting twice changes nothing.
"""

from dataclasses import replace
from typing import Literal

import torch

from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians, transform_gaussians

Axes = Literal["opencv", "opengl"]
"""World axes of a file: "opencv" (+x right, +y down, +z forward), "opengl" (+x right, +y up, +z
back)."""

HALF_TURN = (1.0, -1.0, -1.0)
"""The half turn about x, as the diagonal of its matrix."""


def check_axes(axes: str) -> None:
    """Raise a `ValueError` unless `axes` is one of `Axes`."""
    if axes not in ("opencv", "opengl"):
        raise ValueError(f'axes must be "opencv" or "opengl", got {axes!r:.40}')


def gaussians_in_axes(gaussians: Gaussians, axes: Axes) -> Gaussians:
    """Gaussians from the package's axes to `axes`, or back."""
    check_axes(axes)
    if axes == "opencv":
        return gaussians
    half_turn = torch.diag(gaussians.means.new_tensor(HALF_TURN))
    return transform_gaussians(gaussians, half_turn, gaussians.means.new_zeros(3))


def cameras_in_axes(cameras: Cameras, axes: Axes) -> Cameras:
    """Cameras whose world goes from the package's axes to `axes`, or back; camera axes stay."""
    check_axes(axes)
    if axes == "opencv":
        return cameras
    viewmats = cameras.viewmats.clone()
    viewmats[:, :3, :3] *= viewmats.new_tensor(HALF_TURN)
    return replace(cameras, viewmats=viewmats)
