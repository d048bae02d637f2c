"""A world that has what is stated; everything else as the grammar draws it, given that.

What is drawn is tied to its attribute: with the same seed, a statement more changes what it speaks
of, and of the rest only what the grammar makes depend on it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, Protocol

import numpy as np

from videorfsplat.data.worlds.grammar import (
    BACKGROUNDS,
    FLOWER_COLORS,
    GROUNDS,
    HIDDEN_COLORS,
    SIZES,
    TIME_CHOICES,
    TIMES,
    WEATHERS,
    WEATHERS_AT,
    SecondaryObject,
    World,
    main_shape,
    place_secondary,
    sample_path,
    sample_secondaries,
)
from videorfsplat.data.worlds.motions import MOTIONS, CameraPath
from videorfsplat.data.worlds.objects import KINDS, PALETTE, SECONDARY_KINDS

Stated = Mapping[str, str | Sequence[str]]

# Of something that the grammar never makes, such as a sailboat in the snow: small beside every
# probability of the grammar, so that it decides nothing that something else could.
_NEVER = 1e-9

# Where a stated secondary object stands if forty tries found no free place: right and left of the
# main object, a little behind it.
_FALLBACK_DEGREES = (105.0, -105.0)

_PATH_STREAM, _SECONDARY_STREAM, _LIGHT_STREAM = 101, 102, 103


class _Table(Protocol):
    def __call__(self, world: Mapping[str, str]) -> Mapping[str, float]:
        """Probability of each value, given the attributes that come before."""
        ...


def draw_world(seed: int, stated: Stated) -> World:
    """The world of `seed` among those that have what is stated.

    Over seeds, attributes that are not stated follow `sample_world`'s distribution under the
    condition that the others are as stated. A combination that `sample_world` never makes, such as
    a sailboat in the snow, is drawn all the same.

    Args:
        seed: the same seed and statement give the same world.
        stated: attribute → value as in `captions.ATTRIBUTE_VALUES`; `secondary` and
            `secondary_color` are lists. More than two secondary objects count as two.

    Raises:
        ValueError: if the seed is negative, or an attribute or a value does not exist.
    """
    if seed < 0:
        raise ValueError(f"a world's seed must be at least 0, got {seed}")
    choices = draw_attributes(seed, stated)
    kind, size = choices["kind"], choices["size"]
    yaw = _stream(seed, _LIGHT_STREAM + 1).uniform(*KINDS[kind].yaw_range)
    path = sample_path(_stream(seed, _PATH_STREAM), main_shape(kind), yaw, size, choices["motion"])
    light = _stream(seed, _LIGHT_STREAM)
    return World(
        seed=seed,
        kind=kind,
        main_color=choices["main_color"],
        accent_color=_or_empty(choices["accent_color"]),
        size=size,
        yaw=yaw,
        secondaries=_draw_secondaries(seed, kind, choices["ground"], path, stated),
        ground=choices["ground"],
        ground_color=_or_empty(choices["ground_color"]),
        time=choices["time"],
        weather=choices["weather"],
        background=choices["background"],
        light_side=float(light.choice((-1.0, 1.0)) * light.uniform(38.0, 62.0)),
        path=path,
    )


def draw_attributes(seed: int, stated: Stated) -> dict[str, str]:
    """What `draw_world` chooses from lists; `none` is an accent or a flower colour that is not.

    Raises:
        ValueError: as `draw_world`.
    """
    given = {name: str(stated[name]) for name in _TABLES if name in stated}
    _check(stated, given)
    for name in _TABLES:
        if name in given:
            continue
        shares = _posterior(name, given)
        noise = _stream(seed, list(_TABLES).index(name)).gumbel(size=len(_VALUES[name]))
        # The largest of log-probability plus Gumbel noise is a draw, and moves little with either.
        with np.errstate(divide="ignore"):
            scores = np.log([shares.get(value, 0.0) for value in _VALUES[name]]) + noise
        given[name] = _VALUES[name][int(scores.argmax())]
    return given


def _check(stated: Stated, given: Mapping[str, str]) -> None:
    lists = {"secondary": tuple(SECONDARY_KINDS), "secondary_color": tuple(PALETTE)}
    unknown = set(stated) - set(_TABLES) - set(lists)
    if unknown:
        raise ValueError(f"there are no attributes {sorted(unknown)}")
    pairs = [(name, value, _VALUES[name]) for name, value in given.items()]
    for name, allowed in lists.items():
        pairs += [(name, value, allowed) for value in stated.get(name, ())]
    for name, value, allowed in pairs:
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


# --- what depends on what -------------------------------------------------------------------------


def _kinds(world: Mapping[str, str]) -> Mapping[str, float]:
    return _shares(tuple(KINDS))


def _times(world: Mapping[str, str]) -> Mapping[str, float]:
    return _shares(TIME_CHOICES)


def _grounds(world: Mapping[str, str]) -> Mapping[str, float]:
    return _shares(KINDS[world["kind"]].grounds or GROUNDS)


def _flowers(world: Mapping[str, str]) -> Mapping[str, float]:
    return _shares(FLOWER_COLORS) if world["ground"] == "flower field" else {"none": 1.0}


def _main_colors(world: Mapping[str, str]) -> Mapping[str, float]:
    return _colors(KINDS[world["kind"]].main_colors, world["time"])


def _accents(world: Mapping[str, str]) -> Mapping[str, float]:
    colors = tuple(c for c in KINDS[world["kind"]].accent_colors if c != world["main_color"])
    return _colors(colors, world["time"]) if colors else {"none": 1.0}


def _weathers(world: Mapping[str, str]) -> Mapping[str, float]:
    return _shares(WEATHERS_AT[world["time"]])


def _always(values: tuple[str, ...], world: Mapping[str, str]) -> Mapping[str, float]:
    return _shares(values)


_TABLES: dict[str, _Table] = {
    "kind": _kinds,
    "time": _times,
    "ground": _grounds,
    "ground_color": _flowers,
    "main_color": _main_colors,
    "accent_color": _accents,
    "weather": _weathers,
    "size": partial(_always, SIZES),
    "background": partial(_always, BACKGROUNDS),
    "motion": partial(_always, MOTIONS),
}
"""The distribution of each attribute given those before it, as `grammar.sample_world` draws it."""

_PARENTS: dict[str, tuple[str, ...]] = {
    "ground": ("kind",),
    "ground_color": ("ground",),
    "main_color": ("kind", "time"),
    "accent_color": ("kind", "time", "main_color"),
    "weather": ("time",),
}

_VALUES: dict[str, tuple[str, ...]] = {
    "kind": tuple(KINDS),
    "time": TIMES,
    "ground": GROUNDS,
    "ground_color": ("none", *FLOWER_COLORS),
    "main_color": tuple(PALETTE),
    "accent_color": ("none", *PALETTE),
    "weather": WEATHERS,
    "size": SIZES,
    "background": BACKGROUNDS,
    "motion": MOTIONS,
}


def _shares(values: Sequence[str]) -> dict[str, float]:
    """Probabilities of a uniform draw; a value listed twice is twice as likely."""
    return {value: values.count(value) / len(values) for value in values}


def _colors(colors: tuple[str, ...], time: str) -> dict[str, float]:
    """Colours that the time of day would hide are drawn again once."""
    first = _shares(colors)
    hidden = sum(share for color, share in first.items() if color in HIDDEN_COLORS[time])
    return {
        color: share * (hidden + (color not in HIDDEN_COLORS[time]))
        for color, share in first.items()
    }


def _posterior(name: str, given: Mapping[str, str]) -> dict[str, float]:
    """Probability of each value of an attribute, up to a factor, given others before and after."""
    unknown = [other for other in _relevant(name, given) if other not in given]
    weights = dict.fromkeys(_VALUES[name], 0.0)
    for values in product(*(_VALUES[other] for other in unknown)):
        world = {**given, **dict(zip(unknown, values, strict=True))}
        weights[world[name]] += _weight(world, given, unknown)
    return weights


def _weight(world: Mapping[str, str], given: Mapping[str, str], unknown: Sequence[str]) -> float:
    weight = 1.0
    # Unknown attributes first: most combinations are impossible there, and end early.
    for name in (*unknown, *given):
        share = _TABLES[name](world).get(world[name], 0.0)
        weight *= max(share, _floor(name, world)) if name in given else share
        if weight == 0.0:
            break
    return weight


def _floor(name: str, world: Mapping[str, str]) -> float:
    # A colour of a part that a kind lacks is further from the grammar than one that it never has.
    lacks = name == "accent_color" and not KINDS[world["kind"]].accent_colors
    return _NEVER**2 if lacks else _NEVER


def _relevant(name: str, given: Mapping[str, str]) -> list[str]:
    """The attribute, and all that `given` ones and it were drawn from, in order."""
    wanted, found = [name, *given], set()
    while wanted:
        other = wanted.pop()
        if other not in found:
            found.add(other)
            wanted += _PARENTS.get(other, ())
    return [other for other in _TABLES if other in found]


# --- secondary objects ----------------------------------------------------------------------------


def _draw_secondaries(
    seed: int, kind: str, ground: str, path: CameraPath, stated: Stated
) -> tuple[SecondaryObject, ...]:
    rng = _stream(seed, _SECONDARY_STREAM)
    if "secondary" in stated:
        placed: list[SecondaryObject] = []
        for secondary in list(stated["secondary"])[:2]:
            found = place_secondary(rng, secondary, kind, ground, path, placed)
            placed.append(found or _beside(secondary, kind, rng, _FALLBACK_DEGREES[len(placed)]))
        secondaries = tuple(placed)
    else:
        secondaries = sample_secondaries(rng, kind, ground, path)
    return _colored(secondaries, list(stated.get("secondary_color", ())))


def _beside(kind: str, main: str, rng: np.random.Generator, degrees: float) -> SecondaryObject:
    color = str(rng.choice(SECONDARY_KINDS[kind].colors))
    reach, angle = main_shape(main).radius + 1.0, np.radians(degrees)
    return SecondaryObject(kind, color, reach * np.sin(angle), reach * np.cos(angle), 1.0, 0.0)


def _colored(
    secondaries: tuple[SecondaryObject, ...], colors: list[str]
) -> tuple[SecondaryObject, ...]:
    """The objects in stated colours: each goes to one that may have it, two alike share one."""
    if not colors or not secondaries:
        return secondaries
    if len({s.kind for s in secondaries}) == 1 and len({*colors}) == 1:
        colors = colors[:1] * len(secondaries)
    painted = list(secondaries)
    free = list(range(len(painted)))
    for color in colors[: len(painted)]:
        fitting = [i for i in free if color in SECONDARY_KINDS[painted[i].kind].colors]
        index = (fitting or free)[0]
        free.remove(index)
        painted[index] = replace(painted[index], color=color)
    return tuple(painted)


def _or_empty(color: str) -> str:
    return "" if color == "none" else color


def _stream(seed: int, number: Any) -> np.random.Generator:
    return np.random.default_rng((seed, 7, number))
