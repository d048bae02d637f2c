"""The objects of procedural worlds, built from a few signed-distance primitives each.

An object stands at the origin with its feet at y = 0, faces +z, and has its length along x where it
has one. Colours are named: `main` and `accent` are filled in by the world, the rest are fixed
materials.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from videorfsplat.data.worlds import tracer

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (214, 38, 38),
    "orange": (245, 130, 28),
    "yellow": (250, 208, 36),
    "green": (62, 160, 68),
    "blue": (44, 98, 218),
    "purple": (136, 66, 186),
    "pink": (250, 138, 184),
    "white": (244, 243, 238),
    "black": (38, 38, 44),
    "brown": (128, 78, 44),
    "gray": (146, 149, 154),
}
"""sRGB of the colours that captions name."""

MATERIALS: dict[str, tuple[int, int, int]] = {
    **PALETTE,
    "wood": (150, 100, 58),
    "dark wood": (96, 62, 38),
    "stone": (150, 146, 140),
    "dark stone": (104, 102, 102),
    "metal": (176, 182, 190),
    "dark": (44, 44, 50),
    "glass": (120, 180, 220),
    "window": (96, 132, 172),
    "lamp": (255, 226, 130),
    "carrot": (240, 120, 30),
    "skin": (240, 214, 178),
    "water": (70, 150, 220),
    "spray": (190, 225, 250),
    "rubber": (36, 36, 40),
    "leaf": (58, 140, 60),
    "pine": (34, 110, 66),
    "straw": (226, 188, 96),
    "brick": (168, 84, 64),
    "flame": (255, 150, 40),
}


@dataclass(frozen=True)
class Primitive:
    """One signed-distance primitive in the object's frame."""

    shape: int
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    color: str
    rotation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Degrees about x, then y, then z."""
    round: float = 0.0
    cut: float = tracer.NO_CUT
    second: str = ""
    pattern: int = tracer.PLAIN
    frequency: float = 1.0
    grain: float = 0.0
    glow: float = 0.0

    @property
    def matrix(self) -> Float64[np.ndarray, "3 3"]:
        """Rotation from the primitive's axes to the object's."""
        return _rotation_matrix(self.rotation)

    @property
    def bound(self) -> float:
        """Radius of a sphere around `center` that holds the primitive."""
        a, b, c = self.size
        radii = {
            tracer.ELLIPSOID: max(a, b, c),
            tracer.BOX: math.sqrt(a * a + b * b + c * c),
            tracer.CYLINDER: math.hypot(a, b),
            tracer.CONE: math.hypot(max(a, b), c),
            tracer.CAPSULE: a + b,
            tracer.TORUS: a + b,
            tracer.PRISM: math.hypot(max(a, b), c),
        }
        return radii[self.shape] + self.round + 1e-3

    def extent(self) -> tuple[Float64[np.ndarray, "3"], Float64[np.ndarray, "3"]]:
        """Lowest and highest corner of an axis-aligned box that holds the primitive."""
        a, b, c = self.size
        halves = {
            tracer.ELLIPSOID: (a, b, c),
            tracer.BOX: (a, b, c),
            tracer.CYLINDER: (a, b, a),
            tracer.CONE: (max(a, b), c, max(a, b)),
            tracer.CAPSULE: (a, a + b, a),
            tracer.TORUS: (a + b, b, a + b),
            tracer.PRISM: (a, b / 2, c),
        }
        half = np.array(halves[self.shape]) + self.round
        middle = np.array([0.0, b / 2 if self.shape == tracer.PRISM else 0.0, 0.0])
        reach = np.abs(self.matrix) @ half
        center = np.array(self.center) + self.matrix @ middle
        if self.shape == tracer.ELLIPSOID:
            # An ellipsoid's box is tighter than the box of its box.
            reach = np.sqrt((self.matrix**2) @ (half**2))
        low, high = center - reach, center + reach
        if self.shape in (tracer.ELLIPSOID, tracer.CYLINDER) and self.cut > tracer.NO_CUT:
            _tighten_by_cut(self, low, high)
        return low, high


def _tighten_by_cut(primitive: Primitive, low: np.ndarray, high: np.ndarray) -> None:
    axis = primitive.matrix[:, 1]
    if axis[1] > 0.999:
        low[1] = primitive.center[1] + primitive.cut
    elif axis[1] < -0.999:
        high[1] = primitive.center[1] - primitive.cut


def _rotation_matrix(degrees: tuple[float, float, float]) -> Float64[np.ndarray, "3 3"]:
    x, y, z = np.radians(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


# --- short constructors ---------------------------------------------------------------------------

Spot = tuple[float, float, float]


def _ball(center: Spot, radius: float, color: str, **more) -> Primitive:
    return Primitive(tracer.ELLIPSOID, center, (radius, radius, radius), color, **more)


def _egg(center: Spot, radii: Spot, color: str, **more) -> Primitive:
    return Primitive(tracer.ELLIPSOID, center, radii, color, **more)


def _box(center: Spot, half: Spot, color: str, **more) -> Primitive:
    rounding = more.get("round", 0.0)
    half = (half[0] - rounding, half[1] - rounding, half[2] - rounding)
    return Primitive(tracer.BOX, center, half, color, **more)


def _cylinder(center: Spot, radius: float, half: float, color: str, **more) -> Primitive:
    return Primitive(tracer.CYLINDER, center, (radius, half, 0.0), color, **more)


def _cone(center: Spot, bottom: float, top: float, half: float, color: str, **more) -> Primitive:
    return Primitive(tracer.CONE, center, (bottom, top, half), color, **more)


def _ring(center: Spot, radius: float, tube: float, color: str, **more) -> Primitive:
    return Primitive(tracer.TORUS, center, (radius, tube, 0.0), color, **more)


def _gable(center: Spot, size: Spot, color: str, **more) -> Primitive:
    return Primitive(tracer.PRISM, center, size, color, **more)


def _limb(start: Spot, end: Spot, radius: float, color: str, **more) -> Primitive:
    """A capsule between two points."""
    along = np.subtract(end, start)
    length = float(np.linalg.norm(along))
    middle = tuple(float(v) for v in np.add(start, end) / 2)
    return Primitive(
        tracer.CAPSULE,
        (middle[0], middle[1], middle[2]),
        (radius, length / 2, 0.0),
        color,
        rotation=_turn_y_towards(along / length),
        **more,
    )


def _turn_y_towards(direction: np.ndarray) -> Spot:
    """Angles (x, y, z) that turn the y axis to `direction`: about x, then about y."""
    dx, dy, dz = (float(v) for v in direction)
    tilt = math.degrees(math.acos(max(-1.0, min(1.0, dy))))
    heading = math.degrees(math.atan2(dx, dz))
    return (tilt, heading, 0.0)


SIDEWAYS: Spot = (90.0, 0.0, 0.0)
"""Turns a cylinder's axis along z (the wheels of a thing that drives along x)."""


# --- main objects ---------------------------------------------------------------------------------


def _house() -> list[Primitive]:
    slope = math.degrees(math.atan2(0.62, 0.84))
    parts = [
        _box((0.0, 0.5, 0.0), (0.84, 0.5, 0.62), "main"),
        _gable((0.0, 1.0, 0.0), (0.84, 0.62, 0.62), "main"),
        _box((-0.47, 1.34, 0.0), (0.62, 0.06, 0.76), "accent", rotation=(0.0, 0.0, slope)),
        _box((0.47, 1.34, 0.0), (0.62, 0.06, 0.76), "accent", rotation=(0.0, 0.0, -slope)),
        _box((0.0, 0.32, 0.63), (0.16, 0.32, 0.03), "dark wood"),
        _box((0.5, 1.5, -0.25), (0.11, 0.34, 0.11), "brick"),
        _cylinder((0.0, 1.22, 0.62), 0.13, 0.03, "window", rotation=SIDEWAYS, glow=1.0),
    ]
    for x in (-0.5, 0.5):
        parts.append(_box((x, 0.58, 0.63), (0.17, 0.17, 0.03), "window", glow=1.0))
    for z in (-0.3, 0.3):
        for x in (-0.85, 0.85):
            parts.append(_box((x, 0.58, z), (0.03, 0.17, 0.15), "window", glow=1.0))
    return parts


def _castle() -> list[Primitive]:
    parts = [
        _box((0.0, 0.45, 0.0), (0.8, 0.45, 0.6), "main"),
        _box((0.0, 0.95, -0.05), (0.42, 0.62, 0.36), "main"),
        _cone((0.0, 1.87, -0.05), 0.6, 0.0, 0.32, "accent"),
        _box((0.0, 0.25, 0.6), (0.2, 0.25, 0.04), "dark wood"),
        _cylinder((0.0, 0.5, 0.6), 0.2, 0.04, "dark wood", rotation=SIDEWAYS),
        _box((0.0, 1.2, 0.32), (0.1, 0.15, 0.02), "window", glow=1.0),
    ]
    for x in (-0.8, 0.8):
        for z in (-0.55, 0.55):
            parts.append(_cylinder((x, 0.6, z), 0.26, 0.6, "main"))
            parts.append(_cone((x, 1.46, z), 0.36, 0.0, 0.28, "accent"))
    for x in (-0.8, 0.8):
        parts.append(_box((x, 0.85, 0.8), (0.06, 0.12, 0.03), "window", glow=1.0))
    for x in (-0.42, -0.14, 0.14, 0.42):
        parts.append(_box((x, 0.97, 0.55), (0.08, 0.08, 0.05), "main"))
    return parts


def _lighthouse() -> list[Primitive]:
    return [
        _cone(
            (0.0, 0.78, 0.0),
            0.46,
            0.3,
            0.78,
            "main",
            second="accent",
            pattern=tracer.BANDS,
            frequency=1.6,
        ),
        _cylinder((0.0, 1.58, 0.0), 0.42, 0.05, "dark"),
        _cylinder((0.0, 1.76, 0.0), 0.23, 0.15, "lamp", glow=2.5),
        _cone((0.0, 2.05, 0.0), 0.34, 0.03, 0.16, "accent"),
        _box((0.0, 0.2, 0.42), (0.12, 0.22, 0.06), "dark wood"),
        _egg((0.42, 0.05, 0.3), (0.28, 0.16, 0.22), "dark stone"),
        _egg((-0.45, 0.05, 0.22), (0.24, 0.18, 0.24), "dark stone"),
        _egg((0.1, 0.04, -0.5), (0.4, 0.14, 0.24), "dark stone"),
    ]


def _windmill() -> list[Primitive]:
    parts = [
        _cone((0.0, 0.62, 0.0), 0.56, 0.36, 0.62, "main"),
        _egg((0.0, 1.24, 0.0), (0.4, 0.36, 0.4), "dark wood", cut=0.0),
        _cylinder((0.0, 1.3, 0.42), 0.08, 0.12, "dark", rotation=SIDEWAYS),
        _box((0.0, 0.24, 0.5), (0.14, 0.24, 0.06), "dark wood"),
        _box((0.0, 0.82, 0.44), (0.1, 0.12, 0.05), "window", glow=1.0),
    ]
    for index in range(4):
        angle = math.radians(20.0 + 90.0 * index)
        x, y = math.cos(angle), math.sin(angle)
        turn = (0.0, 0.0, math.degrees(angle))
        parts.append(
            _box((0.45 * x, 1.3 + 0.45 * y, 0.52), (0.45, 0.025, 0.02), "dark wood", rotation=turn)
        )
        offset_x, offset_y = -0.09 * y, 0.09 * x
        center = (0.52 * x + offset_x, 1.3 + 0.52 * y + offset_y, 0.52)
        parts.append(_box(center, (0.35, 0.1, 0.02), "accent", rotation=turn))
    return parts


def _pine() -> list[Primitive]:
    return [
        _cylinder((0.0, 0.2, 0.0), 0.12, 0.22, "dark wood"),
        _cone((0.0, 0.65, 0.0), 0.7, 0.12, 0.33, "main", grain=0.14),
        _cone((0.0, 1.1, 0.0), 0.56, 0.1, 0.32, "main", grain=0.14),
        _cone((0.0, 1.52, 0.0), 0.42, 0.05, 0.28, "main", grain=0.14),
        _cone((0.0, 1.86, 0.0), 0.26, 0.0, 0.24, "main", grain=0.14),
    ]


def _tree() -> list[Primitive]:
    return [
        _cone((0.0, 0.42, 0.0), 0.17, 0.11, 0.42, "wood"),
        _limb((0.0, 0.7, 0.0), (0.3, 1.05, 0.05), 0.07, "wood"),
        _ball((0.0, 1.4, 0.0), 0.52, "main", grain=0.14),
        _ball((-0.4, 1.18, 0.1), 0.38, "main", grain=0.14),
        _ball((0.42, 1.2, 0.02), 0.38, "main", grain=0.14),
        _ball((0.05, 1.15, 0.34), 0.36, "main", grain=0.14),
        _ball((0.02, 1.2, -0.36), 0.38, "main", grain=0.14),
        _ball((0.18, 1.66, 0.05), 0.34, "main", grain=0.14),
    ]


def _mushroom() -> list[Primitive]:
    parts = [
        _cone((0.0, 0.45, 0.0), 0.33, 0.24, 0.45, "skin"),
        _egg((0.0, 0.8, 0.0), (0.88, 0.72, 0.88), "main", cut=0.0),
        _cylinder((0.0, 0.79, 0.0), 0.8, 0.03, "skin"),
    ]
    spots = [
        (0.0, 78.0),
        (60.0, 42.0),
        (130.0, 35.0),
        (200.0, 45.0),
        (270.0, 38.0),
        (330.0, 40.0),
        (15.0, 12.0),
        (95.0, 14.0),
        (165.0, 12.0),
        (230.0, 14.0),
        (300.0, 12.0),
    ]
    for heading, rise in spots:
        h, r = math.radians(heading), math.radians(rise)
        center = (
            0.86 * math.cos(r) * math.sin(h),
            0.8 + 0.7 * math.sin(r),
            0.86 * math.cos(r) * math.cos(h),
        )
        parts.append(_ball(center, 0.13 if rise > 20.0 else 0.1, "accent"))
    return parts


def _cactus() -> list[Primitive]:
    return [
        _limb((0.0, 0.1, 0.0), (0.0, 1.72, 0.0), 0.27, "main", second="leaf", grain=0.1),
        _limb((0.0, 0.75, 0.0), (0.58, 0.8, 0.0), 0.16, "main", grain=0.1),
        _limb((0.58, 0.8, 0.0), (0.6, 1.35, 0.0), 0.16, "main", grain=0.1),
        _limb((0.0, 0.55, 0.0), (-0.56, 0.6, 0.0), 0.15, "main", grain=0.1),
        _limb((-0.56, 0.6, 0.0), (-0.58, 1.05, 0.0), 0.15, "main", grain=0.1),
        _ball((0.0, 2.02, 0.0), 0.15, "accent"),
        _ball((0.62, 1.52, 0.0), 0.11, "accent"),
        _ball((-0.6, 1.22, 0.0), 0.11, "accent"),
    ]


def _wheels(x_positions: tuple[float, ...], radius: float, half_width: float) -> list[Primitive]:
    parts = []
    for x in x_positions:
        for z in (-half_width, half_width):
            parts.append(_cylinder((x, radius, z), radius, 0.09, "rubber", rotation=SIDEWAYS))
            parts.append(_cylinder((x, radius, z), radius * 0.5, 0.11, "metal", rotation=SIDEWAYS))
    return parts


def _car() -> list[Primitive]:
    return [
        _box((0.0, 0.42, 0.0), (1.1, 0.25, 0.5), "main", round=0.12),
        _box((-0.08, 0.78, 0.0), (0.62, 0.26, 0.43), "glass", round=0.1),
        _box((-0.08, 1.0, 0.0), (0.58, 0.07, 0.42), "accent", round=0.06),
        _box((-0.08, 0.78, 0.0), (0.06, 0.24, 0.45), "main"),
        _ball((1.06, 0.46, 0.3), 0.1, "lamp", glow=2.0),
        _ball((1.06, 0.46, -0.3), 0.1, "lamp", glow=2.0),
        _box((-1.07, 0.46, 0.3), (0.05, 0.07, 0.1), "red"),
        _box((-1.07, 0.46, -0.3), (0.05, 0.07, 0.1), "red"),
        *_wheels((-0.65, 0.65), 0.25, 0.46),
    ]


def _bus() -> list[Primitive]:
    parts = [
        _box((0.0, 0.72, 0.0), (1.2, 0.55, 0.46), "main", round=0.1),
        _box((0.0, 1.27, 0.0), (1.12, 0.05, 0.42), "accent", round=0.04),
        _box((0.0, 0.5, 0.0), (1.21, 0.07, 0.47), "accent"),
        _box((1.19, 0.92, 0.0), (0.03, 0.22, 0.36), "glass", glow=0.7),
        _ball((1.2, 0.36, 0.3), 0.07, "lamp", glow=2.0),
        _ball((1.2, 0.36, -0.3), 0.07, "lamp", glow=2.0),
        *_wheels((-0.7, 0.7), 0.24, 0.42),
    ]
    for x in (-0.84, -0.42, 0.0, 0.42, 0.84):
        parts.append(_box((x, 0.92, 0.0), (0.16, 0.19, 0.475), "glass", glow=0.7))
    return parts


def _sailboat() -> list[Primitive]:
    return [
        _egg((0.0, 0.34, 0.0), (1.0, 0.5, 0.4), "main", rotation=(180.0, 0.0, 0.0), cut=0.0),
        _egg((0.0, 0.36, 0.0), (0.92, 0.46, 0.35), "wood", rotation=(180.0, 0.0, 0.0), cut=0.0),
        _cylinder((0.05, 1.1, 0.0), 0.035, 0.95, "dark wood"),
        _gable((0.0, 0.52, 0.0), (0.78, 1.4, 0.03), "accent", rotation=(0.0, 180.0, 0.0), cut=0.0),
        _gable((0.12, 0.52, 0.0), (0.62, 1.05, 0.03), "accent", cut=0.0),
        _box((-0.35, 0.42, 0.0), (0.25, 0.08, 0.18), "wood", round=0.04),
        _gable((0.05, 1.88, 0.0), (0.24, 0.16, 0.02), "red", cut=0.0),
    ]


def _rocket() -> list[Primitive]:
    parts = [
        _egg((0.0, 1.05, 0.0), (0.38, 0.95, 0.38), "main", cut=-0.75),
        _egg((0.0, 1.05, 0.0), (0.395, 0.97, 0.395), "accent", cut=0.5),
        _cylinder((0.0, 1.2, 0.3), 0.19, 0.08, "metal", rotation=SIDEWAYS),
        _cylinder((0.0, 1.2, 0.33), 0.14, 0.08, "glass", rotation=SIDEWAYS, glow=1.0),
        _cone((0.0, 0.2, 0.0), 0.24, 0.18, 0.12, "dark"),
    ]
    for heading in (45.0, 135.0, 225.0, 315.0):
        h = math.radians(heading)
        center = (0.34 * math.sin(h), 0.0, 0.34 * math.cos(h))
        parts.append(
            _gable(
                center, (0.42, 0.85, 0.05), "accent", rotation=(0.0, heading - 90.0, 0.0), cut=-0.1
            )
        )
    return parts


def _balloon() -> list[Primitive]:
    parts = [
        _ball((0.0, 1.62, 0.0), 0.78, "main", second="accent", pattern=tracer.GORES, frequency=6.0),
        _cone(
            (0.0, 0.86, 0.0),
            0.22,
            0.56,
            0.24,
            "main",
            second="accent",
            pattern=tracer.GORES,
            frequency=6.0,
        ),
        _box((0.0, 0.28, 0.0), (0.19, 0.15, 0.19), "wood", round=0.03),
    ]
    for x in (-0.15, 0.15):
        for z in (-0.15, 0.15):
            parts.append(_limb((x, 0.4, z), (1.2 * x, 0.66, 1.2 * z), 0.016, "dark wood"))
    return parts


def _tent() -> list[Primitive]:
    return [
        _gable((0.0, 0.0, 0.0), (0.95, 1.3, 0.8), "main"),
        _gable((0.0, 0.0, 0.02), (0.42, 0.95, 0.8), "accent"),
        _gable((0.0, 0.0, 0.04), (0.26, 0.72, 0.8), "dark"),
        _limb((0.0, 1.2, 0.78), (0.0, 1.42, 0.8), 0.03, "wood"),
        _limb((0.0, 1.2, -0.78), (0.0, 1.42, -0.8), 0.03, "wood"),
    ]


def _well() -> list[Primitive]:
    slope = 38.0
    return [
        _cylinder((0.0, 0.35, 0.0), 0.62, 0.35, "main", grain=0.15),
        _cylinder((0.0, 0.7, 0.0), 0.66, 0.06, "dark stone"),
        _cylinder((0.0, 0.745, 0.0), 0.48, 0.03, "dark"),
        _box((-0.56, 1.05, 0.0), (0.06, 0.5, 0.06), "wood"),
        _box((0.56, 1.05, 0.0), (0.06, 0.5, 0.06), "wood"),
        _cylinder((0.0, 1.2, 0.0), 0.06, 0.56, "wood", rotation=(0.0, 0.0, 90.0)),
        _limb((0.0, 1.2, 0.0), (0.0, 0.98, 0.0), 0.02, "straw"),
        _cone((0.0, 0.88, 0.0), 0.11, 0.14, 0.12, "dark wood"),
        _box((0.0, 1.66, 0.3), (0.82, 0.045, 0.42), "accent", rotation=(slope, 0.0, 0.0)),
        _box((0.0, 1.66, -0.3), (0.82, 0.045, 0.42), "accent", rotation=(-slope, 0.0, 0.0)),
    ]


def _fountain() -> list[Primitive]:
    parts = [
        _cylinder((0.0, 0.18, 0.0), 1.0, 0.18, "main"),
        _ring((0.0, 0.36, 0.0), 0.95, 0.08, "main"),
        _cylinder((0.0, 0.35, 0.0), 0.9, 0.03, "water"),
        _cone((0.0, 0.6, 0.0), 0.16, 0.12, 0.35, "main"),
        _egg((0.0, 1.05, 0.0), (0.55, 0.24, 0.55), "main", rotation=(180.0, 0.0, 0.0), cut=0.0),
        _cylinder((0.0, 1.05, 0.0), 0.5, 0.03, "water"),
        _cone((0.0, 1.2, 0.0), 0.09, 0.07, 0.2, "main"),
        _cone((0.0, 1.58, 0.0), 0.1, 0.05, 0.24, "spray"),
        _ball((0.0, 1.82, 0.0), 0.13, "spray"),
    ]
    for heading in range(0, 360, 60):
        h = math.radians(heading + 30.0)
        x, z = math.sin(h), math.cos(h)
        parts.append(_limb((0.5 * x, 1.05, 0.5 * z), (0.66 * x, 0.8, 0.66 * z), 0.05, "spray"))
        parts.append(_limb((0.66 * x, 0.8, 0.66 * z), (0.72 * x, 0.38, 0.72 * z), 0.05, "spray"))
    return parts


def _snowman() -> list[Primitive]:
    return [
        _ball((0.0, 0.5, 0.0), 0.56, "main"),
        _ball((0.0, 1.18, 0.0), 0.42, "main"),
        _ball((0.0, 1.72, 0.0), 0.31, "main"),
        _cone((0.0, 1.72, 0.43), 0.07, 0.0, 0.18, "carrot", rotation=(90.0, 0.0, 0.0)),
        _ball((-0.11, 1.82, 0.27), 0.045, "dark"),
        _ball((0.11, 1.82, 0.27), 0.045, "dark"),
        _ball((0.0, 1.3, 0.4), 0.05, "dark"),
        _ball((0.0, 1.1, 0.41), 0.05, "dark"),
        _ring((0.0, 1.48, 0.0), 0.28, 0.1, "accent"),
        _box(
            (0.16, 1.25, 0.38), (0.08, 0.22, 0.04), "accent", rotation=(-12.0, 0.0, 0.0), round=0.03
        ),
        _cylinder((0.0, 1.95, 0.0), 0.4, 0.035, "dark"),
        _cylinder((0.0, 2.13, 0.0), 0.25, 0.18, "dark"),
        _cylinder((0.0, 2.02, 0.0), 0.26, 0.05, "accent"),
        _limb((0.36, 1.25, 0.0), (0.85, 1.5, 0.05), 0.035, "dark wood"),
        _limb((-0.36, 1.25, 0.0), (-0.85, 1.5, 0.05), 0.035, "dark wood"),
    ]


def _robot() -> list[Primitive]:
    parts = [
        _box((0.0, 0.98, 0.0), (0.48, 0.42, 0.32), "main", round=0.06),
        _box((0.0, 1.68, 0.0), (0.36, 0.26, 0.3), "main", round=0.06),
        _cylinder((0.0, 1.41, 0.0), 0.14, 0.06, "metal"),
        _limb((0.0, 1.9, 0.0), (0.0, 2.1, 0.0), 0.03, "metal"),
        _ball((0.0, 2.14, 0.0), 0.08, "accent"),
        _box((0.0, 1.02, 0.32), (0.26, 0.18, 0.03), "accent"),
        _box((0.0, 1.54, 0.31), (0.18, 0.04, 0.02), "dark"),
    ]
    for side in (-1.0, 1.0):
        parts += [
            _ball((0.15 * side, 1.74, 0.3), 0.09, "lamp", glow=1.5),
            _ball((0.56 * side, 1.25, 0.0), 0.14, "metal"),
            _limb((0.6 * side, 1.2, 0.0), (0.7 * side, 0.72, 0.08), 0.1, "accent"),
            _ball((0.71 * side, 0.64, 0.1), 0.13, "metal"),
            _cylinder((0.24 * side, 0.36, 0.0), 0.13, 0.25, "accent"),
            _box((0.24 * side, 0.1, 0.06), (0.19, 0.1, 0.26), "metal", round=0.04),
        ]
    return parts


def _legs(x_pair: tuple[float, float], z: float, top: float, radius: float) -> list[Primitive]:
    return [
        _limb((x, top, side), (x, radius, side), radius, "main") for x in x_pair for side in (-z, z)
    ]


def _horse() -> list[Primitive]:
    return [
        _egg((0.0, 1.02, 0.0), (0.74, 0.32, 0.3), "main"),
        *_legs((-0.5, 0.48), 0.15, 0.95, 0.09),
        _limb((0.5, 1.12, 0.0), (0.82, 1.62, 0.0), 0.19, "main"),
        _egg((0.98, 1.68, 0.0), (0.3, 0.15, 0.15), "main", rotation=(0.0, 0.0, -28.0)),
        _cone((0.8, 1.88, 0.08), 0.06, 0.0, 0.1, "main"),
        _cone((0.8, 1.88, -0.08), 0.06, 0.0, 0.1, "main"),
        _limb((0.38, 1.32, 0.0), (0.7, 1.78, 0.0), 0.11, "accent"),
        _limb((-0.7, 1.12, 0.0), (-0.98, 0.6, 0.0), 0.11, "accent"),
        _ball((0.96, 1.74, 0.13), 0.035, "dark"),
        _ball((0.96, 1.74, -0.13), 0.035, "dark"),
    ]


def _dog() -> list[Primitive]:
    return [
        _egg((-0.1, 0.72, 0.0), (0.66, 0.3, 0.3), "main"),
        *_legs((-0.5, 0.34), 0.17, 0.62, 0.11),
        _ball((0.52, 1.12, 0.0), 0.32, "main"),
        _egg((0.82, 1.03, 0.0), (0.22, 0.14, 0.16), "skin"),
        _ball((1.03, 1.07, 0.0), 0.07, "dark"),
        _egg((0.44, 1.08, 0.33), (0.14, 0.28, 0.08), "dark wood"),
        _egg((0.44, 1.08, -0.33), (0.14, 0.28, 0.08), "dark wood"),
        _ball((0.76, 1.22, 0.16), 0.05, "dark"),
        _ball((0.76, 1.22, -0.16), 0.05, "dark"),
        _ring((0.42, 0.88, 0.0), 0.23, 0.07, "accent", rotation=(0.0, 0.0, -28.0)),
        _limb((-0.7, 0.85, 0.0), (-0.98, 1.25, 0.0), 0.08, "main"),
    ]


def _cat() -> list[Primitive]:
    parts = [
        _egg((0.0, 0.62, -0.12), (0.44, 0.62, 0.46), "main"),
        _ball((0.0, 1.36, 0.06), 0.42, "main"),
        _egg((0.0, 0.62, 0.2), (0.24, 0.4, 0.2), "white"),
        _egg((0.0, 1.24, 0.4), (0.16, 0.1, 0.1), "white"),
        _ball((0.0, 1.3, 0.49), 0.045, "pink"),
        _ring((0.0, 1.02, 0.02), 0.26, 0.07, "accent"),
        _limb((0.3, 0.14, -0.45), (0.62, 0.16, -0.1), 0.1, "main"),
        _limb((0.62, 0.16, -0.1), (0.6, 0.16, 0.3), 0.09, "main"),
    ]
    for side in (-1.0, 1.0):
        parts += [
            _cone(
                (0.25 * side, 1.78, 0.04), 0.17, 0.0, 0.2, "main", rotation=(0.0, 0.0, -14.0 * side)
            ),
            _cone(
                (0.25 * side, 1.76, 0.1), 0.1, 0.0, 0.15, "pink", rotation=(0.0, 0.0, -14.0 * side)
            ),
            _ball((0.16 * side, 1.43, 0.42), 0.07, "dark"),
            _limb((0.16 * side, 0.55, 0.28), (0.16 * side, 0.1, 0.38), 0.11, "main"),
        ]
    return parts


def _duck() -> list[Primitive]:
    return [
        _egg((-0.08, 0.55, 0.0), (0.86, 0.55, 0.6), "main"),
        _cone((-0.88, 0.86, 0.0), 0.26, 0.03, 0.26, "main", rotation=(0.0, 0.0, 52.0)),
        _ball((0.42, 1.32, 0.0), 0.46, "main"),
        _egg((0.92, 1.22, 0.0), (0.26, 0.09, 0.2), "carrot"),
        _ball((0.66, 1.46, 0.32), 0.085, "dark"),
        _ball((0.66, 1.46, -0.32), 0.085, "dark"),
        _egg((-0.2, 0.68, 0.52), (0.42, 0.26, 0.14), "main", rotation=(0.0, 0.0, 12.0)),
        _egg((-0.2, 0.68, -0.52), (0.42, 0.26, 0.14), "main", rotation=(0.0, 0.0, 12.0)),
    ]


def _teapot() -> list[Primitive]:
    return [
        _egg((0.0, 0.72, 0.0), (0.78, 0.68, 0.78), "main"),
        _cylinder((0.0, 0.06, 0.0), 0.48, 0.07, "main"),
        _egg((0.0, 1.26, 0.0), (0.46, 0.22, 0.46), "accent"),
        _ball((0.0, 1.55, 0.0), 0.14, "accent"),
        _cone((0.92, 0.85, 0.0), 0.22, 0.1, 0.42, "main", rotation=(0.0, 0.0, -42.0)),
        _ring((-0.76, 0.8, 0.0), 0.36, 0.09, "main", rotation=(90.0, 0.0, 180.0), cut=-0.1),
        _ring((0.0, 0.72, 0.0), 0.775, 0.05, "accent"),
    ]


def _armchair() -> list[Primitive]:
    parts = [
        _box((0.0, 0.42, 0.05), (0.7, 0.24, 0.6), "main", round=0.08),
        _box((0.0, 0.95, -0.5), (0.78, 0.72, 0.2), "main", round=0.14),
        _box((-0.78, 0.6, 0.05), (0.18, 0.42, 0.62), "main", round=0.14),
        _box((0.78, 0.6, 0.05), (0.18, 0.42, 0.62), "main", round=0.14),
        _box((0.0, 0.74, 0.1), (0.58, 0.13, 0.52), "accent", round=0.1),
        _box((0.0, 1.08, -0.26), (0.4, 0.3, 0.12), "accent", round=0.1, rotation=(-10.0, 0.0, 0.0)),
    ]
    for x in (-0.75, 0.75):
        for z in (-0.5, 0.5):
            parts.append(_cylinder((x, 0.1, z), 0.07, 0.11, "dark wood"))
    return parts


@dataclass(frozen=True)
class Kind:
    """A kind of main object."""

    build: Callable[[], list[Primitive]]
    main_colors: tuple[str, ...]
    accent_colors: tuple[str, ...] = ()
    """Empty where the kind has no second colour of its own."""
    grounds: tuple[str, ...] = ()
    """Grounds it stands on; empty = any."""
    yaw_range: tuple[float, float] = (-35.0, 35.0)
    """Degrees around the vertical, seen from view 1."""


_ANY = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "white",
    "black",
    "brown",
    "gray",
)
_BRIGHT = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
_WALLS = ("white", "yellow", "red", "blue", "pink", "green", "orange", "purple", "gray", "brown")
_ROOFS = ("red", "blue", "green", "orange", "brown", "black", "purple", "gray")
_FUR = ("brown", "white", "black", "gray", "orange")

KINDS: dict[str, Kind] = {
    "house": Kind(_house, _WALLS, _ROOFS),
    "castle": Kind(
        _castle,
        ("gray", "white", "brown", "pink", "yellow", "purple"),
        _ROOFS,
        yaw_range=(-30.0, 30.0),
    ),
    "lighthouse": Kind(
        _lighthouse,
        ("white", "yellow", "gray"),
        ("red", "blue", "black", "green", "orange"),
    ),
    "windmill": Kind(
        _windmill, _WALLS, ("white", "red", "blue", "yellow", "green"), yaw_range=(-25.0, 25.0)
    ),
    "pine tree": Kind(_pine, ("green", "green", "blue", "white", "yellow", "orange")),
    "tree": Kind(_tree, ("green", "green", "orange", "red", "yellow", "pink", "purple", "white")),
    "mushroom": Kind(
        _mushroom,
        ("red", "orange", "yellow", "blue", "purple", "brown", "pink", "green"),
        ("white", "yellow", "pink", "black"),
    ),
    "cactus": Kind(
        _cactus,
        ("green", "green", "blue", "purple"),
        ("pink", "red", "yellow", "white", "orange"),
        yaw_range=(-30.0, 30.0),
    ),
    "car": Kind(_car, _ANY, ("white", "black", "red", "blue", "yellow"), yaw_range=(-50.0, 50.0)),
    "bus": Kind(
        _bus,
        _ANY,
        ("white", "black", "red", "blue", "yellow", "green"),
        yaw_range=(-45.0, 45.0),
    ),
    "sailboat": Kind(
        _sailboat,
        _ANY,
        ("white", "red", "yellow", "blue", "orange", "pink", "green"),
        grounds=("lake", "lake", "sand"),
        yaw_range=(-40.0, 40.0),
    ),
    "rocket": Kind(
        _rocket,
        ("white", "gray", "yellow", "blue", "red", "orange", "green", "black"),
        ("red", "blue", "orange", "green", "purple", "yellow", "black"),
    ),
    "hot air balloon": Kind(
        _balloon,
        _BRIGHT,
        ("yellow", "white", "red", "blue", "green", "orange", "purple", "pink"),
    ),
    "tent": Kind(
        _tent,
        _BRIGHT,
        ("white", "yellow", "red", "blue", "orange", "green", "brown"),
        yaw_range=(-40.0, 40.0),
    ),
    "well": Kind(
        _well,
        ("gray", "white", "brown", "red", "yellow"),
        ("red", "brown", "blue", "green", "black", "orange"),
        yaw_range=(-35.0, 35.0),
    ),
    "fountain": Kind(_fountain, ("white", "gray", "brown", "pink", "yellow", "black")),
    "snowman": Kind(
        _snowman,
        ("white",),
        ("red", "blue", "green", "orange", "purple", "yellow", "pink"),
    ),
    "robot": Kind(
        _robot,
        _ANY,
        ("red", "blue", "yellow", "orange", "green", "white", "black", "purple", "pink"),
        yaw_range=(-35.0, 35.0),
    ),
    "horse": Kind(_horse, _FUR, ("black", "white", "brown", "yellow"), yaw_range=(-40.0, 40.0)),
    "dog": Kind(
        _dog,
        _FUR,
        ("red", "blue", "green", "yellow", "purple", "pink"),
        yaw_range=(-50.0, 35.0),
    ),
    "cat": Kind(
        _cat,
        _FUR,
        ("red", "blue", "green", "yellow", "purple", "pink"),
        yaw_range=(-35.0, 35.0),
    ),
    "duck": Kind(
        _duck,
        ("yellow", "yellow", "white", "pink", "blue", "green", "orange"),
        yaw_range=(-50.0, 35.0),
    ),
    "teapot": Kind(
        _teapot,
        _ANY,
        ("white", "yellow", "red", "blue", "green", "black", "pink"),
        yaw_range=(-35.0, 35.0),
    ),
    "armchair": Kind(
        _armchair,
        _ANY,
        ("white", "yellow", "red", "blue", "green", "orange", "pink", "purple"),
        yaw_range=(-40.0, 40.0),
    ),
}
"""Main objects. A colour listed twice is twice as likely."""


# --- secondary objects ----------------------------------------------------------------------------


def _bush() -> list[Primitive]:
    return [
        _egg((0.0, 0.24, 0.0), (0.36, 0.32, 0.36), "main", grain=0.14),
        _egg((0.3, 0.2, 0.05), (0.26, 0.24, 0.26), "main", grain=0.14),
        _egg((-0.28, 0.18, 0.08), (0.26, 0.22, 0.26), "main", grain=0.14),
    ]


def _rock() -> list[Primitive]:
    return [
        _egg((0.0, 0.2, 0.0), (0.42, 0.32, 0.36), "main", rotation=(0.0, 20.0, 10.0), grain=0.12),
        _egg((0.3, 0.1, 0.12), (0.24, 0.2, 0.24), "main", grain=0.12),
    ]


def _fence() -> list[Primitive]:
    rails = [_box((0.0, y, 0.0), (0.8, 0.05, 0.03), "main") for y in (0.22, 0.48)]
    posts = [
        _box((x, 0.33, 0.0), (0.07, 0.33, 0.05), "main") for x in (-0.7, -0.35, 0.0, 0.35, 0.7)
    ]
    return rails + posts


def _crate() -> list[Primitive]:
    parts = [_box((0.0, 0.3, 0.0), (0.28, 0.28, 0.28), "main")]
    for x in (-0.27, 0.27):
        for z in (-0.27, 0.27):
            parts.append(_box((x, 0.3, z), (0.05, 0.3, 0.05), "dark wood"))
    for y in (0.05, 0.55):
        parts.append(_box((0.0, y, 0.0), (0.29, 0.05, 0.29), "dark wood"))
    return parts


def _lamp_post() -> list[Primitive]:
    return [
        _cylinder((0.0, 0.05, 0.0), 0.14, 0.06, "main"),
        _cylinder((0.0, 0.75, 0.0), 0.05, 0.72, "main"),
        _ball((0.0, 1.6, 0.0), 0.17, "lamp", glow=2.5),
        _cone((0.0, 1.78, 0.0), 0.18, 0.02, 0.07, "main"),
    ]


def _barrel() -> list[Primitive]:
    return [
        _cone((0.0, 0.17, 0.0), 0.22, 0.3, 0.17, "main"),
        _cone((0.0, 0.51, 0.0), 0.3, 0.22, 0.17, "main"),
        _cylinder((0.0, 0.14, 0.0), 0.275, 0.03, "dark"),
        _cylinder((0.0, 0.54, 0.0), 0.275, 0.03, "dark"),
        _cylinder((0.0, 0.67, 0.0), 0.18, 0.02, "wood"),
    ]


@dataclass(frozen=True)
class SecondaryKind:
    """A kind of object that stands beside the main one."""

    build: Callable[[], list[Primitive]]
    colors: tuple[str, ...]
    scale_range: tuple[float, float]


SECONDARY_KINDS: dict[str, SecondaryKind] = {
    "pine tree": SecondaryKind(_pine, ("green",), (0.75, 1.0)),
    "tree": SecondaryKind(_tree, ("green", "green", "orange", "pink"), (0.7, 0.95)),
    "bush": SecondaryKind(_bush, ("green", "green", "red", "yellow"), (1.0, 1.3)),
    "rock": SecondaryKind(_rock, ("gray", "gray", "brown"), (0.9, 1.3)),
    "fence": SecondaryKind(_fence, ("brown", "white"), (0.9, 1.1)),
    "crate": SecondaryKind(_crate, ("brown", "brown", "red", "blue"), (0.9, 1.15)),
    "lamp post": SecondaryKind(_lamp_post, ("black", "gray"), (0.9, 1.1)),
    "barrel": SecondaryKind(_barrel, ("brown", "red", "blue"), (0.9, 1.1)),
}
"""Objects at the sides."""


# --- packing --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """A built object: its primitives and its box in its own frame."""

    primitives: tuple[Primitive, ...]
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    @property
    def height(self) -> float:
        """Highest point above the ground."""
        return self.high[1]

    @cached_property
    def radius(self) -> float:
        """Greatest horizontal distance from the vertical axis to a corner of a part's box."""
        return max(
            math.hypot(*np.maximum(np.abs(p.extent()[0]), np.abs(p.extent()[1]))[[0, 2]])
            for p in self.primitives
        )


def build_shape(build: Callable[[], list[Primitive]]) -> Shape:
    """The object that `build` describes, with its bounds."""
    primitives = tuple(build())
    extents = [primitive.extent() for primitive in primitives]
    low = np.min([low for low, _ in extents], axis=0)
    high = np.max([high for _, high in extents], axis=0)
    return Shape(primitives, (low[0], low[1], low[2]), (high[0], high[1], high[2]))


def scaled_shape(shape: Shape, scale: float) -> Shape:
    """The same object, larger or smaller."""
    return Shape(
        tuple(_scaled(primitive, scale) for primitive in shape.primitives),
        (shape.low[0] * scale, shape.low[1] * scale, shape.low[2] * scale),
        (shape.high[0] * scale, shape.high[1] * scale, shape.high[2] * scale),
    )


def _scaled(primitive: Primitive, scale: float) -> Primitive:
    x, y, z = primitive.center
    a, b, c = primitive.size
    return replace(
        primitive,
        center=(x * scale, y * scale, z * scale),
        size=(a * scale, b * scale, c * scale),
        round=primitive.round * scale,
        cut=primitive.cut * scale,
        frequency=primitive.frequency / scale
        if primitive.pattern == tracer.BANDS
        else primitive.frequency,
    )


def primitive_rows(
    shape: Shape, *, position: tuple[float, float, float], yaw: float, colors: Mapping[str, str]
) -> Float64[np.ndarray, "p 29"]:
    """The tracer's rows of an object turned by `yaw` degrees and moved to `position`.

    Args:
        shape: the object.
        position: of its origin in the tracer's world.
        yaw: degrees about +y, counterclockwise seen from above.
        colors: what `main` and `accent` stand for, as palette names.
    """
    turn = _rotation_matrix((0.0, yaw, 0.0))
    rows = np.zeros((len(shape.primitives), tracer.NUM_COLUMNS))
    for row, primitive in zip(rows, shape.primitives, strict=True):
        row[tracer.SHAPE] = primitive.shape
        row[tracer.CENTER : tracer.CENTER + 3] = turn @ np.array(primitive.center) + np.array(
            position
        )
        row[tracer.ROTATION : tracer.ROTATION + 9] = (turn @ primitive.matrix).T.ravel()
        row[tracer.SIZE : tracer.SIZE + 3] = primitive.size
        row[tracer.ROUND] = primitive.round
        row[tracer.CUT] = primitive.cut
        row[tracer.BOUND] = primitive.bound
        row[tracer.COLOR : tracer.COLOR + 3] = linear_color(primitive.color, colors)
        row[tracer.SECOND_COLOR : tracer.SECOND_COLOR + 3] = linear_color(
            primitive.second or primitive.color, colors
        )
        row[tracer.PATTERN] = primitive.pattern
        row[tracer.FREQUENCY] = primitive.frequency
        row[tracer.GRAIN] = primitive.grain
        row[tracer.GLOW] = primitive.glow
    return rows


def linear_color(name: str, colors: Mapping[str, str] | None = None) -> tuple[float, float, float]:
    """Linear RGB of a material, after `main` and `accent` are looked up in `colors`."""
    return linear_rgb(*MATERIALS[(colors or {}).get(name, name)])


def linear_rgb(red: int, green: int, blue: int) -> tuple[float, float, float]:
    """Linear RGB of an sRGB colour given in 0..255, by the tracer's display gamma."""
    return (red / 255.0) ** 2.2, (green / 255.0) ** 2.2, (blue / 255.0) ** 2.2
