"""Cameras that a caller gives, as the model takes them."""

import math

import torch

from videorfsplat.geometry.cameras import Cameras, cameras_along, estimate_unit


def check_cameras(
    cameras: Cameras | list[Cameras] | None, unit: float | None, num_prompts: int
) -> None:
    """Check paths that are given, one for all prompts or one a prompt.

    Raises:
        ValueError: if their number does not fit, one is empty, or the unit is no length.
    """
    if unit is not None and not (math.isfinite(unit) and unit > 0):
        raise ValueError(f"camera_unit must be positive and finite, got {unit}")
    if cameras is None:
        return
    given = [cameras] if isinstance(cameras, Cameras) else cameras
    if isinstance(cameras, list) and len(cameras) != num_prompts:
        raise ValueError(f"expected cameras for {num_prompts} prompts, got {len(cameras)}")
    if any(path.num_views == 0 for path in given):
        raise ValueError("a path needs at least one camera, got none")


def fit_cameras(
    cameras: Cameras | list[Cameras],
    unit: float | None,
    num_scenes: int,
    num_views: int,
    size: tuple[int, int],
) -> tuple[list[Cameras], list[float]]:
    """Cameras in the model's number, frame, unit and size, and their own unit; one entry a scene.

    Args:
        cameras: one path for all scenes, or one a prompt.
        unit: lengths of the paths per length of the model; estimated if `None`.
        num_scenes: scenes of one prompt lie side by side.
        num_views: cameras to take evenly along each path.
        size: height and width of the views in pixels.
    """
    height, width = size
    given = [cameras] if isinstance(cameras, Cameras) else cameras
    copies = num_scenes // len(given)
    units = [estimate_unit(path) if unit is None else unit for path in given]
    fitted = [
        cameras_along(path.to(torch.float64), num_views)
        .center_cropped(width, height)
        .relative_to_first()
        .scaled(1 / length)
        .to(torch.float32)
        for path, length in zip(given, units, strict=True)
    ]
    return (
        [path for path in fitted for _ in range(copies)],
        [length for length in units for _ in range(copies)],
    )
