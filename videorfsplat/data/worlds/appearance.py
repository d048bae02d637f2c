"""How a procedural world looks: light, sky, weather and ground, as the arrays of the tracer."""

import math
from dataclasses import dataclass

import numpy as np

from videorfsplat.data.worlds import tracer
from videorfsplat.data.worlds.grammar import World, main_shape, secondary_shape
from videorfsplat.data.worlds.objects import linear_color, linear_rgb, primitive_rows, scaled_shape
from videorfsplat.data.worlds.tracer import Color


def trace_inputs(world: World) -> tracer.TracedWorld:
    """The arrays of `world` for `tracer.render`."""
    main = primitive_rows(
        main_shape(world.kind),
        position=(0.0, _waterline(world), 0.0),
        yaw=world.yaw,
        colors={"main": world.main_color, "accent": world.accent_color or world.main_color},
    )
    tables = [main]
    for secondary in world.secondaries:
        shape = scaled_shape(secondary_shape(secondary.kind), secondary.scale)
        rows = primitive_rows(
            shape,
            position=(secondary.x, 0.0, secondary.z),
            yaw=secondary.yaw,
            colors={"main": secondary.color, "accent": secondary.color},
        )
        tables.append(rows)
    groups = []
    first = 0
    for table in tables:
        groups.append([first, first + len(table), *_bounding_sphere(table)])
        first += len(table)
    return tracer.TracedWorld(np.concatenate(tables), np.array(groups), look_of(world))


def _waterline(world: World) -> float:
    """Height of the main object's origin: a boat lies in the water."""
    return -0.12 if world.kind == "sailboat" and world.ground == "lake" else 0.0


def _bounding_sphere(table: np.ndarray) -> list[float]:
    centers = table[:, tracer.CENTER : tracer.CENTER + 3]
    bounds = table[:, tracer.BOUND]
    middle = 0.5 * (
        (centers - bounds[:, None]).min(axis=0) + (centers + bounds[:, None]).max(axis=0)
    )
    radius = (np.linalg.norm(centers - middle, axis=1) + bounds).max()
    return [*middle.tolist(), float(radius)]


@dataclass(frozen=True)
class _Hour:
    """Light and sky of one time of day in clear weather."""

    light: Color
    light_elevation: float
    ambient_high: Color
    ambient_low: Color
    top: Color
    horizon: Color
    disc: Color
    disc_degrees: float
    halo: float
    cloud: Color
    hill: Color
    glow: float
    stars: float = 0.0


_HOURS: dict[str, _Hour] = {
    "day": _Hour(
        light=(0.92, 0.87, 0.76),
        light_elevation=48.0,
        ambient_high=(0.36, 0.4, 0.47),
        ambient_low=(0.27, 0.26, 0.24),
        top=linear_rgb(58, 128, 226),
        horizon=linear_rgb(176, 214, 244),
        disc=linear_rgb(255, 250, 220),
        disc_degrees=2.6,
        halo=0.35,
        cloud=linear_rgb(250, 250, 252),
        hill=linear_rgb(96, 142, 140),
        glow=0.0,
    ),
    "sunset": _Hour(
        light=(1.08, 0.74, 0.46),
        light_elevation=24.0,
        ambient_high=(0.42, 0.36, 0.42),
        ambient_low=(0.29, 0.22, 0.21),
        top=linear_rgb(88, 66, 136),
        horizon=linear_rgb(255, 142, 62),
        disc=linear_rgb(255, 226, 130),
        disc_degrees=3.6,
        halo=0.9,
        cloud=linear_rgb(236, 112, 104),
        hill=linear_rgb(98, 58, 92),
        glow=0.6,
    ),
    "night": _Hour(
        light=(0.26, 0.3, 0.42),
        light_elevation=42.0,
        ambient_high=(0.1, 0.12, 0.2),
        ambient_low=(0.055, 0.06, 0.1),
        top=linear_rgb(12, 16, 52),
        horizon=linear_rgb(38, 52, 104),
        disc=linear_rgb(246, 244, 222),
        disc_degrees=3.4,
        halo=0.22,
        cloud=linear_rgb(58, 68, 112),
        hill=linear_rgb(20, 26, 58),
        glow=1.0,
        stars=1.0,
    ),
    "dawn": _Hour(
        light=(0.74, 0.62, 0.56),
        light_elevation=28.0,
        ambient_high=(0.38, 0.36, 0.44),
        ambient_low=(0.27, 0.24, 0.25),
        top=linear_rgb(134, 168, 226),
        horizon=linear_rgb(255, 202, 196),
        disc=linear_rgb(255, 240, 206),
        disc_degrees=3.0,
        halo=0.5,
        cloud=linear_rgb(250, 206, 214),
        hill=linear_rgb(146, 138, 176),
        glow=0.2,
    ),
}


@dataclass(frozen=True)
class _Soil:
    pattern: int
    color: Color
    second: Color
    accent: Color = (0.0, 0.0, 0.0)


_SOILS: dict[str, _Soil] = {
    "meadow": _Soil(tracer.MEADOW, linear_rgb(74, 146, 52), linear_rgb(118, 180, 66)),
    "snow": _Soil(tracer.MEADOW, linear_rgb(216, 226, 240), linear_rgb(246, 249, 254)),
    "sand": _Soil(
        tracer.RIPPLES,
        linear_rgb(228, 192, 126),
        linear_rgb(240, 212, 152),
        linear_rgb(204, 160, 96),
    ),
    "lake": _Soil(
        tracer.LAKE, linear_rgb(30, 96, 170), linear_rgb(44, 126, 196), linear_rgb(120, 186, 226)
    ),
    "pavement": _Soil(
        tracer.TILES, linear_rgb(156, 154, 152), linear_rgb(182, 178, 172), linear_rgb(98, 96, 98)
    ),
    "autumn leaves": _Soil(
        tracer.LEAVES, linear_rgb(176, 92, 34), linear_rgb(206, 58, 30), linear_rgb(240, 176, 40)
    ),
    "flower field": _Soil(tracer.FLOWERS, linear_rgb(64, 138, 54), linear_rgb(96, 166, 64)),
    "dirt": _Soil(tracer.MEADOW, linear_rgb(112, 78, 50), linear_rgb(146, 106, 70)),
}

_SHORE_GRASS = linear_rgb(88, 156, 62)


def look_of(world: World) -> tracer.Look:
    """Light, sky, fog and ground of `world`."""
    hour = _HOURS[world.time]
    soil = _SOILS[world.ground]
    sun, ambient = _weather_on_light(world.weather)
    top, horizon, cover, cloud = _weather_on_sky(world, hour)
    far = 14.0 * world.path.distance
    sharp = 2.0 if world.background == "mountains" else 1.0
    fog_density = 0.043 if world.weather == "foggy" else 0.004
    has_disc = world.weather in ("clear", "cloudy")
    return tracer.Look(
        light_direction=_direction(world.light_side, hour.light_elevation),
        light_color=_times(hour.light, sun),
        ambient_high=_times(hour.ambient_high, ambient),
        ambient_low=_times(hour.ambient_low, ambient),
        sky_top=top,
        sky_horizon=horizon,
        disc_direction=_disc_direction(world),
        disc_color=hour.disc,
        disc_cosine=math.cos(math.radians(hour.disc_degrees)) if has_disc else 2.0,
        disc_halo=hour.halo,
        cloud_color=cloud,
        cloud_cover=cover,
        stars=hour.stars if world.weather == "clear" else 0.0,
        hill_color=_blend(hour.hill, horizon, 0.55 if world.weather == "foggy" else 0.1),
        hill_height=_hill_height(world),
        hill_sharpness=sharp,
        fog_color=horizon,
        fog_density=fog_density,
        far=far,
        ground_pattern=soil.pattern,
        ground_color=soil.color,
        ground_second=soil.second,
        ground_accent=linear_color(world.ground_color) if world.ground_color else soil.accent,
        shore=0.0 if world.kind == "sailboat" else _shore_radius(world),
        shore_color=_SHORE_GRASS,
        glow=hour.glow,
        seed=world.seed % 1_000_003,
    )


def _weather_on_light(weather: str) -> tuple[float, float]:
    """Factors on the direct and on the ambient light."""
    return {
        "clear": (1.0, 1.0),
        "cloudy": (0.92, 1.05),
        "overcast": (0.3, 1.35),
        "foggy": (0.5, 1.25),
    }[weather]


def _weather_on_sky(world: World, hour: _Hour) -> tuple[Color, Color, float, Color]:
    """Colours of the sky's top and horizon, cloud cover and cloud colour."""
    if world.weather == "overcast":
        return linear_rgb(150, 158, 168), linear_rgb(196, 202, 208), 0.75, linear_rgb(176, 182, 190)
    if world.weather == "foggy":
        mist = _blend(hour.horizon, linear_rgb(222, 226, 230), 0.65)
        return _blend(hour.top, mist, 0.75), mist, 0.0, hour.cloud
    return hour.top, hour.horizon, 0.62 if world.weather == "cloudy" else 0.0, hour.cloud


def _hill_height(world: World) -> float:
    if world.background == "none":
        return 0.0
    return 0.24 if world.background == "mountains" else 0.11


def _shore_radius(world: World) -> float:
    """Radius of the island that carries all objects."""
    reach = main_shape(world.kind).radius
    for secondary in world.secondaries:
        width = secondary.scale * secondary_shape(secondary.kind).radius
        reach = max(reach, math.hypot(secondary.x, secondary.z) + width)
    return 1.12 * reach + 0.25


def _disc_direction(world: World) -> Color:
    """Sun or moon in an upper corner of the first view, on the side the light comes from."""
    half = world.path.fov / 2
    # A camera that looks far down shows little sky: the disc then stands low.
    elevation = max(0.62 * (half - world.path.elevation), 4.0)
    azimuth = math.copysign(0.66 * half, world.light_side)
    a, e = math.radians(azimuth), math.radians(elevation)
    return math.cos(e) * math.sin(a), math.sin(e), -math.cos(e) * math.cos(a)


def _direction(azimuth: float, elevation: float) -> Color:
    a, e = math.radians(azimuth), math.radians(elevation)
    return math.cos(e) * math.sin(a), math.sin(e), math.cos(e) * math.cos(a)


def _times(color: Color, factor: float) -> Color:
    return color[0] * factor, color[1] * factor, color[2] * factor


def _blend(one: Color, other: Color, share: float) -> Color:
    rest = 1.0 - share
    return (
        one[0] * rest + other[0] * share,
        one[1] * rest + other[1] * share,
        one[2] * rest + other[2] * share,
    )
