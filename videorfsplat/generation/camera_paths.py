"""Camera paths as a user names them: a preset, or a file of cameras; presets framed to a scene."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from videorfsplat.formats.camera_files import TAKEN, read_camera_file
from videorfsplat.geometry.cameras import Cameras
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.trajectories import TRAJECTORIES, trajectory

# Splats less opaque than this are haze that says little of where a scene is.
_SOLID_OPACITY = 0.5
# This share of the solid splats is to be in sight; the rest is floaters and background.
_FRAMED_SHARE = 0.8
# A sphere that fills the narrower field of view, with some room about it.
_ROOM = 1.2


@dataclass(frozen=True)
class CameraPath:
    """Cameras to follow."""

    cameras: Cameras
    """Float64, in the frame and unit of their file; those of a preset in the model's."""
    unit: float | None
    """Lengths of the path per length of the model: 1 for a preset, `None` for a file."""
    left_out: list[str]
    """What was wrong with cameras of the file that are not among these."""


def load_camera_path(
    name: str, *, num_views: int = 8, width: int = 96, height: int = 96, strict: bool = False
) -> CameraPath:
    """The cameras of a preset, or those of a file, as they are in it.

    Args:
        name: one of `TRAJECTORIES`, or a file or folder that `read_camera_file` takes.
        num_views: cameras of a preset.
        width: image width of a preset, in pixels.
        height: image height of a preset, in pixels.
        strict: refuse a file with a bad camera instead of leaving it out.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the name is unknown, or naming the file and what is wrong with it.
    """
    if name in TRAJECTORIES:
        return CameraPath(trajectory(name, num_views=num_views, width=width, height=height), 1, [])
    path = Path(name)
    if not path.exists():
        if not path.suffix and path.parent == Path():
            known = ", ".join(TRAJECTORIES)
            raise ValueError(f"unknown trajectory {name!r}: expected {known}, or a file: {TAKEN}")
        raise FileNotFoundError(f"{path}: no such file")
    file = read_camera_file(path, strict=strict)
    return CameraPath(file.cameras, None, file.left_out)


def framed_by_scene(preset: Cameras, cameras: Cameras, unit: float) -> Cameras:
    """A preset from view 1 of a scene on.

    Args:
        preset: in the model's frame and unit.
        cameras: of the scene.
        unit: lengths of the scene per length of the model.
    """
    viewmats = preset.scaled(unit).viewmats.to(cameras.viewmats) @ cameras.viewmats[:1]
    return replace(preset, viewmats=viewmats, Ks=preset.Ks.to(cameras.Ks))


def framed_by_splats(preset: Cameras, gaussians: Gaussians) -> Cameras:
    """A preset whose subject is what most solid splats are, and fills its view 1.

    Args:
        preset: in the model's frame and unit: its subject lies at (0, 0, 1).
        gaussians: of any place and size, at least one.
    """
    means = gaussians.means[gaussians.opacities >= _SOLID_OPACITY]
    means = (gaussians.means if len(means) == 0 else means).double()
    subject = means.median(dim=0).values
    place = max(1, math.ceil(_FRAMED_SHARE * len(means)))
    radius = float((means - subject).norm(dim=1).kthvalue(place).values)
    radius = radius or float(gaussians.scales.max())
    sides = preset.width / preset.Ks[0, 0, 0], preset.height / preset.Ks[0, 1, 1]
    distance = _ROOM * radius / math.sin(math.atan(float(min(sides)) / 2))
    viewmats = preset.scaled(distance).viewmats.double()
    start = torch.eye(4, dtype=torch.float64)
    start[:3, 3] = torch.tensor([0, 0, distance], dtype=torch.float64) - subject
    return replace(preset, viewmats=viewmats @ start, Ks=preset.Ks.double())
