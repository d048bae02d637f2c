"""Pictures of Gaussians along a camera path, and the path of a scene's preview film."""

import numpy as np
import torch
from jaxtyping import UInt8

from videorfsplat.formats.video import to_uint8
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.trajectories import fly_through
from videorfsplat.rendering.rasterization import rasterize

PREVIEW_FRAMES = 72
PREVIEW_SIDE = 192
"""Least length of a preview's longer side, in pixels."""

# Few at a time, so that the memory of a film does not depend on its length.
_RENDERED_AT_ONCE = 8


@torch.no_grad()
def render_frames(gaussians: Gaussians, cameras: Cameras) -> UInt8[np.ndarray, "v h w 3"]:
    """The pictures that the cameras see, on black."""
    parts = []
    for start in range(0, cameras.num_views, _RENDERED_AT_ONCE):
        part = cameras[start : start + _RENDERED_AT_ONCE].to(gaussians.means.device)
        parts.append(to_uint8(rasterize(gaussians, part)[0]))
    return np.concatenate(parts)


def preview_cameras(
    cameras: Cameras, num_frames: int = PREVIEW_FRAMES, side: int = PREVIEW_SIDE
) -> Cameras:
    """The fly-through of a scene's cameras, there and back, `side` pixels long at least."""
    factor = max(1.0, side / max(cameras.width, cameras.height))
    size = round(cameras.width * factor), round(cameras.height * factor)
    return fly_through(cameras, num_frames).resized(*size)
