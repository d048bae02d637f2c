"""The seeded grammar of procedural worlds: what stands where, under which sky, seen how."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from videorfsplat.data.worlds import objects
from videorfsplat.data.worlds.motions import (
    ELEVATIONS,
    MOTIONS,
    USUAL_ELEVATIONS,
    CameraPath,
    amplitude_range,
)
from videorfsplat.data.worlds.objects import KINDS, SECONDARY_KINDS, Shape

GROUNDS: tuple[str, ...] = (
    "meadow",
    "snow",
    "sand",
    "lake",
    "pavement",
    "autumn leaves",
    "flower field",
    "dirt",
)
FLOWER_COLORS: tuple[str, ...] = ("red", "yellow", "purple", "white", "pink")
TIMES: tuple[str, ...] = ("day", "sunset", "night", "dawn")
TIME_CHOICES: tuple[str, ...] = ("day", "day", "sunset", "night", "dawn")
"""What a world's time is drawn from."""
WEATHERS: tuple[str, ...] = ("clear", "cloudy", "overcast", "foggy")
BACKGROUNDS: tuple[str, ...] = ("none", "hills", "mountains")
SIZES: tuple[str, ...] = ("small", "medium", "large")

WEATHERS_AT: dict[str, tuple[str, ...]] = {
    "day": ("clear", "clear", "cloudy", "cloudy", "overcast", "foggy"),
    "sunset": ("clear", "clear", "cloudy"),
    "night": ("clear", "clear", "cloudy"),
    "dawn": ("clear", "cloudy", "foggy"),
}
IMAGE_SHARE: dict[str, tuple[float, float]] = {
    "small": (0.44, 0.48),
    "medium": (0.52, 0.57),
    "large": (0.61, 0.66),
}
"""Share of the first image's height (or width, for wide objects) that the main object takes."""

HIDDEN_COLORS: dict[str, frozenset[str]] = {
    "day": frozenset(),
    "dawn": frozenset(),
    "sunset": frozenset({"gray"}),
    "night": frozenset({"gray", "brown", "purple"}),
}
"""Colours that the light of each time makes hard to tell from another one."""

MAIN_SIZE = 2.0
"""Larger of height and 0.85 × width of each main object, tracer units."""


@dataclass(frozen=True)
class SecondaryObject:
    """Something that stands beside the main object."""

    kind: str
    color: str
    x: float
    z: float
    scale: float
    yaw: float


@dataclass(frozen=True)
class World:
    """One procedural world: everything that the tracer and the caption need."""

    seed: int
    kind: str
    main_color: str
    accent_color: str
    """Empty where the kind has none."""
    size: str
    yaw: float
    """Degrees about the vertical; 0 faces the first camera."""
    secondaries: tuple[SecondaryObject, ...]
    ground: str
    ground_color: str
    """Of the flowers in a flower field; empty elsewhere."""
    time: str
    weather: str
    background: str
    light_side: float
    """Azimuth of the light in degrees from the first camera, positive to its right."""
    path: CameraPath

    @property
    def motion(self) -> str:
        """Name of the camera motion."""
        return self.path.motion


def sample_world(seed: int) -> World:
    """The world of `seed`; the same seed gives the same world.

    Raises:
        ValueError: if the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"a world's seed must be at least 0, got {seed}")
    rng = np.random.default_rng(seed)
    kind_name = _pick(rng, tuple(KINDS))
    kind = KINDS[kind_name]
    time = _pick(rng, TIME_CHOICES)
    ground = _pick(rng, kind.grounds or GROUNDS)
    main_color = _pick_color(rng, kind.main_colors, time)
    accents = tuple(color for color in kind.accent_colors if color != main_color)
    accent_color = _pick_color(rng, accents, time) if accents else ""
    size = _pick(rng, SIZES)
    yaw = rng.uniform(*kind.yaw_range)
    path = sample_path(rng, main_shape(kind_name), yaw, size)
    return World(
        seed=seed,
        kind=kind_name,
        main_color=main_color,
        accent_color=accent_color,
        size=size,
        yaw=yaw,
        secondaries=sample_secondaries(rng, kind_name, ground, path),
        ground=ground,
        ground_color=_pick(rng, FLOWER_COLORS) if ground == "flower field" else "",
        time=time,
        weather=_pick(rng, WEATHERS_AT[time]),
        background=_pick(rng, BACKGROUNDS),
        light_side=_pick(rng, (-1.0, 1.0)) * rng.uniform(38.0, 62.0),
        path=path,
    )


def _pick(rng: np.random.Generator, values):
    return values[int(rng.integers(len(values)))]


def _pick_color(rng: np.random.Generator, colors: tuple[str, ...], time: str) -> str:
    """A colour; those that the time of day would hide are drawn again once, so they are rarer."""
    color = _pick(rng, colors)
    return _pick(rng, colors) if color in HIDDEN_COLORS[time] else color


@cache
def main_shape(kind: str) -> Shape:
    """The main object of `kind` at its size in the tracer's world.

    Raises:
        ValueError: if there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    shape = objects.build_shape(KINDS[kind].build)
    extent = max(shape.high[1] - shape.low[1], 0.85 * (shape.high[0] - shape.low[0]))
    return objects.scaled_shape(shape, MAIN_SIZE / extent)


@cache
def secondary_shape(kind: str) -> Shape:
    """The secondary object of `kind` at scale 1."""
    return objects.build_shape(SECONDARY_KINDS[kind].build)


def sample_path(
    rng: np.random.Generator, shape: Shape, yaw: float, size: str, motion: str | None = None
) -> CameraPath:
    """A camera path about an object that is turned by `yaw` degrees; `None` draws the motion."""
    motion = motion or _pick(rng, MOTIONS)
    fov = rng.uniform(42.0, 58.0)
    share = rng.uniform(*IMAGE_SHARE[size])
    if motion.startswith(("truck", "pan")):
        # An object that fills the frame would leave it at once.
        share *= 0.9
    half_width = _half_width_seen(shape, yaw)
    extent = max(shape.high[1] - shape.low[1], 2.0 * half_width)
    depth = 0.35 * half_width
    # The nearer half of the object looks larger than its middle.
    distance = extent / (2.0 * share * math.tan(math.radians(fov) / 2)) + depth
    return CameraPath(
        motion=motion,
        amplitude=rng.uniform(*amplitude_range(motion)),
        fov=fov,
        elevation=rng.uniform(*ELEVATIONS.get(motion, USUAL_ELEVATIONS)),
        distance=distance,
        target=(0.0, 0.5 * (shape.low[1] + shape.high[1]), 0.0),
        subject_radius=half_width,
    )


def _half_width_seen(shape: Shape, yaw: float) -> float:
    """Half the width of the object as the first camera sees it."""
    angle = math.radians(yaw)
    widest = 0.0
    for x in (shape.low[0], shape.high[0]):
        for z in (shape.low[2], shape.high[2]):
            widest = max(widest, abs(x * math.cos(angle) + z * math.sin(angle)))
    # The corner of a box is rarely filled.
    return 0.93 * widest


# --- secondary objects ----------------------------------------------------------------------------


def sample_secondaries(
    rng: np.random.Generator, main_kind: str, ground: str, path: CameraPath
) -> tuple[SecondaryObject, ...]:
    """None, one, two alike or two different ones, where they hide nothing from any view."""
    if main_kind == "sailboat":
        kinds_allowed: tuple[str, ...] = ("rock",)
    else:
        kinds_allowed = tuple(kind for kind in SECONDARY_KINDS if kind != main_kind)
    count = int(rng.choice(3, p=(0.3, 0.35, 0.35)))
    kinds = [_pick(rng, kinds_allowed) for _ in range(count)]
    if count == 2 and rng.random() < 0.5:
        kinds[1] = kinds[0]
    placed: list[SecondaryObject] = []
    for kind in kinds:
        candidate = place_secondary(rng, kind, main_kind, ground, path, placed)
        if candidate is not None:
            placed.append(candidate)
    return tuple(placed)


def place_secondary(
    rng: np.random.Generator,
    kind: str,
    main_kind: str,
    ground: str,
    path: CameraPath,
    placed: list[SecondaryObject],
) -> SecondaryObject | None:
    """A free place for one more object, or None when forty tries found none."""
    radius = main_shape(main_kind).radius
    spec = SECONDARY_KINDS[kind]
    alike = [other for other in placed if other.kind == kind]
    color = alike[0].color if alike else _pick(rng, spec.colors)
    sides = [math.copysign(1.0, other.x) for other in placed]
    side = -sides[0] if sides and rng.random() < 0.8 else _pick(rng, (-1.0, 1.0))
    for _ in range(40):
        scale = rng.uniform(*spec.scale_range)
        width = scale * secondary_shape(kind).radius
        angle = math.radians(side * rng.uniform(72.0, 150.0))
        reach = radius + width + rng.uniform(0.05, 0.7)
        yaw = rng.uniform(-30.0, 30.0)
        candidate = SecondaryObject(
            kind, color, reach * math.sin(angle), reach * math.cos(angle), scale, yaw
        )
        if _is_free(candidate, placed) and _is_seen_well(candidate, path):
            return candidate
        side = -side
    return None


def _is_free(candidate: SecondaryObject, placed: list[SecondaryObject]) -> bool:
    width = candidate.scale * secondary_shape(candidate.kind).radius
    for other in placed:
        room = width + other.scale * secondary_shape(other.kind).radius
        if math.hypot(candidate.x - other.x, candidate.z - other.z) < room:
            return False
    return True


def _is_seen_well(candidate: SecondaryObject, path: CameraPath) -> bool:
    """Whether the first view shows the candidate and no view has it in front of the main object."""
    shape = secondary_shape(candidate.kind)
    width = candidate.scale * shape.radius
    viewmats = path.viewmats([0.0, 0.5, 1.0]).numpy()
    point = np.array([candidate.x, 0.5 * candidate.scale * shape.height, candidate.z, 1.0])
    tangent = math.tan(math.radians(path.fov) / 2)
    for view, viewmat in enumerate(viewmats):
        x, _, depth, _ = viewmat @ point
        subject = viewmat @ np.array([*path.target, 1.0])
        if depth < 1.5:
            return False
        if view == 0 and abs(x) + 0.6 * width > depth * tangent:
            return False
        offset = abs(x / depth - subject[0] / subject[2])
        overlap = offset < (0.8 * width) / depth + 0.6 * path.subject_radius / subject[2]
        if overlap and (depth < subject[2] or view == 0):
            return False
    return True
