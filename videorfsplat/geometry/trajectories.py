"""Named camera paths, in the frame that the models work in, and the fly-through of a scene.

View 1 is the identity and looks along +z at a subject at depth 1, from a little above. Left, right,
up and down are the camera's own motion, not the picture's: a truck to the right moves the camera to
+x, a pan to the right turns it towards +x, a crane up lifts it towards −y (y points down).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras, look_at, sample_path
from videorfsplat.geometry.rays import MAX_FOV_DEGREES, MIN_FOV_DEGREES

# What each path reaches at amount 1, the middle of what the procedural worlds are filmed with.
# Lengths are in units of the subject's distance. Spiral and walk do not occur there.
ORBIT_DEGREES = 53.0
DOLLY_IN_LENGTH = 0.34
DOLLY_OUT_LENGTH = 0.6
TRUCK_LENGTH = 0.2
PAN_DEGREES = 11.5
CRANE_UP_LENGTH = 0.49
CRANE_DOWN_LENGTH = 0.34
SPIRAL_RADIUS = 0.2
WALK_LENGTH = 0.4
WALK_SWAY = 0.03
WALK_BOB = 0.02

MAX_AMOUNT = 4.0
MAX_ELEVATION_DEGREES = 60.0


def trajectory(
    name: str,
    *,
    num_views: int = 8,
    width: int = 96,
    height: int = 96,
    fov_degrees: float = 50.0,
    amount: float = 1.0,
    elevation_degrees: float | None = None,
) -> Cameras:
    """The cameras of a named path, evenly spaced in time; view 1 is the identity (float32).

    Args:
        name: one of `TRAJECTORIES`.
        num_views: number of cameras.
        width: image width, in pixels.
        height: image height, in pixels.
        fov_degrees: field of view of the image's longer side.
        amount: multiplies the length or angle of the path, 0 to 4; 0 stands still.
        elevation_degrees: how far view 1 looks down on the subject, −60 to 60, which tilts the
            vertical that orbits, pans and cranes keep to; the path's usual one when not given.

    Raises:
        ValueError: if the name is unknown or a number is out of range.
    """
    if name not in _PATHS:
        raise ValueError(f"unknown trajectory {name!r}; known: {', '.join(TRAJECTORIES)}")
    path = _PATHS[name]
    elevation = path.elevation_degrees if elevation_degrees is None else elevation_degrees
    _check_range("num_views", num_views, 1, math.inf)
    _check_range("fov_degrees", fov_degrees, MIN_FOV_DEGREES, MAX_FOV_DEGREES)
    _check_range("amount", amount, 0.0, MAX_AMOUNT)
    _check_range("elevation_degrees", elevation, -MAX_ELEVATION_DEGREES, MAX_ELEVATION_DEGREES)
    times = torch.linspace(0, 1, num_views, dtype=torch.float64)
    down = math.radians(elevation)
    centers, targets = path.stations(times, amount, (math.sin(down), math.cos(down)))
    viewmats = look_at(centers, targets, torch.tensor([0, -1, 0], dtype=torch.float64))
    focal = max(width, height) / 2 / math.tan(math.radians(fov_degrees) / 2)
    K = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]).double()
    cameras = Cameras(viewmats, K.repeat(num_views, 1, 1), width, height)
    return cameras.relative_to_first().to(torch.float32)


def fly_through(cameras: Cameras, num_frames: int, *, there_and_back: bool = True) -> Cameras:
    """Cameras of a preview video along the smooth path through `cameras`.

    Args:
        cameras: the cameras to pass through.
        num_frames: number of frames.
        there_and_back: go to the last camera and back to the first, slowing down at both, so that
            the video repeats without a jump. Otherwise one way at an even pace.

    Raises:
        ValueError: if `num_frames` is below 1 or there is no camera.
    """
    _check_range("num_frames", num_frames, 1, math.inf)
    if there_and_back:
        turns = torch.arange(num_frames, dtype=torch.float64) / num_frames
        progress = (1 - torch.cos(2 * math.pi * turns)) / 2
    else:
        progress = torch.linspace(0, 1, num_frames, dtype=torch.float64)
    return sample_path(cameras, progress * (cameras.num_views - 1))


def _check_range(name: str, value: int | float, low: int | float, high: int | float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {value}")


# Stations are camera centres and the points they look at, in the level frame of view 1: its centre
# is the origin, x points right, y straight down, z forward on the level. The subject lies `drop`
# below and `ahead` in front, with drop² + ahead² = 1.
Points = Float[Tensor, "v 3"]
Stations = tuple[Points, Points]
Subject = tuple[float, float]


@dataclass(frozen=True)
class _Path:
    stations: Callable[[Tensor, float, Subject], Stations]
    """Of times in [0, 1], an amount and the subject."""
    elevation_degrees: float = 10.0
    """Of view 1, where the caller names none."""


def _points(times: Tensor, x: Tensor | float, y: Tensor | float, z: Tensor | float) -> Points:
    return torch.stack([torch.zeros_like(times) + component for component in (x, y, z)], dim=-1)


def _dolly(length: float) -> _Path:
    """Straight along the view axis of view 1."""

    def stations(times: Tensor, amount: float, subject: Subject) -> Stations:
        towards = _points(times, 0.0, *subject)
        centers = (length * amount * times)[:, None] * towards
        return centers, centers + towards

    return _Path(stations)


def _truck(length: float) -> _Path:
    """Straight to the right, keeping the view direction."""

    def stations(times: Tensor, amount: float, subject: Subject) -> Stations:
        centers = _points(times, length * amount * times, 0.0, 0.0)
        return centers, centers + _points(times, 0.0, *subject)

    return _Path(stations)


def _orbit(degrees: float) -> _Path:
    """To the right around the vertical through the subject, looking at it."""

    def stations(times: Tensor, amount: float, subject: Subject) -> Stations:
        drop, ahead = subject
        angles = math.radians(degrees) * amount * times
        centers = _points(times, ahead * angles.sin(), 0.0, ahead * (1 - angles.cos()))
        return centers, _points(times, 0.0, drop, ahead)

    return _Path(stations)


def _pan(degrees: float) -> _Path:
    """A turn to the right on the spot, around the vertical."""

    def stations(times: Tensor, amount: float, subject: Subject) -> Stations:
        drop, ahead = subject
        angles = math.radians(degrees) * amount * times
        targets = _points(times, ahead * angles.sin(), drop, ahead * angles.cos())
        return _points(times, 0.0, 0.0, 0.0), targets

    return _Path(stations)


def _crane(length: float, elevation_degrees: float) -> _Path:
    """Straight up, looking at the subject."""

    def stations(times: Tensor, amount: float, subject: Subject) -> Stations:
        centers = _points(times, 0.0, -length * amount * times, 0.0)
        return centers, _points(times, 0.0, *subject)

    return _Path(stations, elevation_degrees)


def _spiral(times: Tensor, amount: float, subject: Subject) -> Stations:
    """One widening turn around the view axis of view 1, looking at the subject."""
    drop, ahead = subject
    radii, angles = SPIRAL_RADIUS * amount * times, 2 * math.pi * times
    rise = radii * angles.cos()
    centers = _points(times, radii * angles.sin(), -ahead * rise, drop * rise)
    return centers, _points(times, 0.0, drop, ahead)


def _walk(times: Tensor, amount: float, subject: Subject) -> Stations:
    """Forward on the level, swaying to the sides once and sinking twice, eyes kept ahead."""
    sway = WALK_SWAY * amount * torch.sin(2 * math.pi * times)
    bob = WALK_BOB * amount * (1 - torch.cos(4 * math.pi * times)) / 2
    centers = _points(times, sway, bob, WALK_LENGTH * amount * times)
    return centers, centers + _points(times, 0.0, *subject)


_PATHS = {
    "orbit_left": _orbit(-ORBIT_DEGREES),
    "orbit_right": _orbit(ORBIT_DEGREES),
    "dolly_in": _dolly(DOLLY_IN_LENGTH),
    "dolly_out": _dolly(-DOLLY_OUT_LENGTH),
    "truck_left": _truck(-TRUCK_LENGTH),
    "truck_right": _truck(TRUCK_LENGTH),
    "pan_left": _pan(-PAN_DEGREES),
    "pan_right": _pan(PAN_DEGREES),
    "crane_up": _crane(CRANE_UP_LENGTH, 6.0),
    "crane_down": _crane(-CRANE_DOWN_LENGTH, 25.0),
    "spiral": _Path(_spiral),
    "walk": _Path(_walk),
}

TRAJECTORIES: tuple[str, ...] = tuple(_PATHS)
"""The names that `trajectory` knows."""
