"""Camera paths of procedural worlds: one smooth motion around, along or past the main object.

The frame is the tracer's: y up, main object over the origin, the first camera on the +z side.
Directions are those of the camera operator: `orbit_right` travels to the camera's own right around
the object (counterclockwise seen from above), `truck_right` slides to the right without turning,
`pan_right` turns to the right on the spot, `dolly_in` drives forward along the view axis,
`crane_up` rises while tilting to keep the object in the middle.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from videorfsplat.geometry.cameras import Cameras, look_at

MOTIONS: tuple[str, ...] = (
    "orbit_left",
    "orbit_right",
    "dolly_in",
    "dolly_out",
    "truck_left",
    "truck_right",
    "crane_up",
    "crane_down",
    "pan_left",
    "pan_right",
)

AMPLITUDES: dict[str, tuple[float, float]] = {
    "orbit": (32.0, 75.0),  # degrees of azimuth
    "dolly_in": (0.58, 0.74),  # last distance over first
    "dolly_out": (1.4, 1.8),
    "truck": (0.7, 1.0),  # of the room that keeps the object in the frame
    "pan": (0.7, 1.0),
    "crane_up": (26.0, 36.0),  # last elevation in degrees
    "crane_down": (3.0, 7.0),
}
"""Range of `CameraPath.amplitude` of each motion."""

ELEVATIONS: dict[str, tuple[float, float]] = {"crane_up": (4.0, 8.0), "crane_down": (22.0, 28.0)}
"""Range of the first elevation in degrees where it differs from `USUAL_ELEVATIONS`."""

USUAL_ELEVATIONS = (5.0, 15.0)

LOWEST_CAMERA = 0.3


def amplitude_range(motion: str) -> tuple[float, float]:
    """Range of amplitudes of `motion`; units are in `AMPLITUDES`.

    Raises:
        ValueError: if there is no such motion.
    """
    if motion not in MOTIONS:
        raise ValueError(f"motion must be one of {', '.join(MOTIONS)}, got {motion!r}")
    return AMPLITUDES.get(motion) or AMPLITUDES[motion.split("_")[0]]


@dataclass(frozen=True)
class CameraPath:
    """The path of one world's camera and its lens."""

    motion: str
    amplitude: float
    """Extent of the motion; unit in `AMPLITUDES`."""
    fov: float
    """Horizontal and vertical field of view in degrees."""
    elevation: float
    """Degrees above the horizontal at which the first camera looks down."""
    distance: float
    """From the first camera to the target, tracer units."""
    target: tuple[float, float, float]
    """The point that the first camera has in the middle of its frame."""
    subject_radius: float
    """Half the width of the main object as the first camera sees it."""

    def __post_init__(self) -> None:
        amplitude_range(self.motion)

    def viewmats(self, times: Sequence[float]) -> Float[Tensor, "v 4 4"]:
        """World→camera (OpenCV axes, tracer's world) at `times` in 0..1 along the path."""
        centers, targets = [], []
        for time in times:
            center, target = self._station(float(time))
            centers.append(center)
            targets.append(target)
        up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
        return look_at(
            torch.tensor(centers, dtype=torch.float64),
            torch.tensor(targets, dtype=torch.float64),
            up,
        )

    def cameras(self, times: Sequence[float], size: int) -> Cameras:
        """Cameras (double, tracer's world) at `times`, for square images of `size` pixels."""
        viewmats = self.viewmats(times)
        focal = 0.5 * size / math.tan(math.radians(self.fov) / 2)
        K = torch.tensor([[focal, 0.0, size / 2], [0.0, focal, size / 2], [0.0, 0.0, 1.0]])
        return Cameras(viewmats, K.double().expand(len(viewmats), 3, 3).clone(), size, size)

    def _station(self, time: float) -> tuple[list[float], list[float]]:
        """Camera centre and the point it looks at."""
        family, _, direction = self.motion.partition("_")
        sign = -1.0 if direction in ("left", "out", "down") else 1.0
        if family == "orbit":
            return self._around(sign * time * self.amplitude, self.elevation, self.distance)
        if family == "crane":
            return self._crane(time)
        center, target = self._around(0.0, self.elevation, self.distance)
        if family == "dolly":
            share = (1.0 - time) + time * self.amplitude
            center = [t + (c - t) * share for c, t in zip(center, target, strict=True)]
        elif family == "truck":
            shift = sign * time * self.amplitude * self.room
            center[0] += shift
            target[0] += shift
        else:
            angle = sign * time * self.amplitude * math.atan(self.room / self.distance)
            target = _turned_about_y(center, target, angle)
        return center, target

    @property
    def room(self) -> float:
        """How far the object may move sideways before it leaves the frame, with 5 % margin."""
        half_width = self.distance * math.tan(math.radians(self.fov) / 2)
        return max(0.95 * half_width - self.subject_radius, 0.15 * half_width)

    def _around(
        self, azimuth: float, elevation: float, distance: float
    ) -> tuple[list[float], list[float]]:
        """Station `azimuth` degrees to the camera's right of the front, aimed at the target."""
        a, e = math.radians(azimuth), math.radians(elevation)
        x, y, z = self.target
        center = [
            x + distance * math.cos(e) * math.sin(a),
            max(y + distance * math.sin(e), LOWEST_CAMERA),
            z + distance * math.cos(e) * math.cos(a),
        ]
        return center, [x, y, z]

    def _crane(self, time: float) -> tuple[list[float], list[float]]:
        """Straight vertical travel between two elevations."""
        first, last = math.radians(self.elevation), math.radians(self.amplitude)
        level = self.distance * math.cos(first)
        rise = level * ((1.0 - time) * math.tan(first) + time * math.tan(last))
        x, y, z = self.target
        return [x, max(y + rise, LOWEST_CAMERA), z + level], [x, y, z]


def _turned_about_y(center: list[float], target: list[float], angle: float) -> list[float]:
    """`target` turned by `angle` radians to the camera's right around the vertical through
    `center`.
    """
    dx, dz = target[0] - center[0], target[2] - center[2]
    cos, sin = math.cos(angle), math.sin(angle)
    return [center[0] + dx * cos - dz * sin, target[1], center[2] + dx * sin + dz * cos]


def view_times(num_views: int) -> list[float]:
    """Even times in 0..1, one per view."""
    if num_views == 1:
        return [0.0]
    return [view / (num_views - 1) for view in range(num_views)]
