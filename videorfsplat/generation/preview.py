"""Pictures of Gaussians along a camera path, and the path of a scene's preview film."""

import logging

import numpy as np
import torch
from jaxtyping import UInt8

from videorfsplat.formats.video import to_uint8
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.trajectories import fly_through
from videorfsplat.rendering.rasterization import DEPTH_RANGE, rasterize

logger = logging.getLogger(__name__)

PREVIEW_FRAMES = 72
PREVIEW_SIDE = 192
"""Least length of a preview's longer side, in pixels."""

# Few at a time, so that the memory of a film does not depend on its length.
_RENDERED_AT_ONCE = 8


# Scenes whose subject is nearer or farther than this have a unit of their own.
_USUAL_DEPTHS = (0.1, 10.0)


@torch.no_grad()
def render_frames(gaussians: Gaussians, cameras: Cameras) -> UInt8[np.ndarray, "v h w 3"]:
    """The pictures that the cameras see, on black; scenes may have any unit of length."""
    parts = []
    near, far = _depth_range(gaussians, cameras)
    for start in range(0, cameras.num_views, _RENDERED_AT_ONCE):
        part = cameras[start : start + _RENDERED_AT_ONCE].to(gaussians.means.device)
        parts.append(to_uint8(rasterize(gaussians, part, near=near, far=far)[0]))
    pictures = np.concatenate(parts)
    if not pictures.any():
        logger.warning("the pictures are black: no camera sees any of %d Gaussians", len(gaussians))
    return pictures


def _depth_range(gaussians: Gaussians, cameras: Cameras) -> tuple[float, float]:
    """Depths to render, in the scene's unit: those in front of camera 1 tell it."""
    viewmat = cameras.viewmats[0].to(gaussians.means)
    depths = gaussians.means @ viewmat[2, :3] + viewmat[2, 3]
    depths = depths[depths > 0]
    middle = float(depths.median()) if len(depths) else 1.0
    unit = 1.0 if _USUAL_DEPTHS[0] <= middle <= _USUAL_DEPTHS[1] else middle
    return DEPTH_RANGE[0] * unit, DEPTH_RANGE[1] * unit


def preview_cameras(
    cameras: Cameras, num_frames: int = PREVIEW_FRAMES, side: int = PREVIEW_SIDE
) -> Cameras:
    """The fly-through of a scene's cameras, there and back, `side` pixels long at least."""
    factor = max(1.0, side / max(cameras.width, cameras.height))
    size = round(cameras.width * factor), round(cameras.height * factor)
    return fly_through(cameras, num_frames).resized(*size)
