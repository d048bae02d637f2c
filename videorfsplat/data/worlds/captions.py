"""What can be said about a procedural world: captions in many wordings, and what each of them says.

All captions are lower case, 6 to 40 words; those that say everything may be longer. Everything is
said in at least three ways. Colours that the light of the hour would hide are not named unless
somebody asked for them (`grammar.HIDDEN_COLORS`). Motion words are the camera's own left, right, up
and down (`motions`).
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from videorfsplat.data.worlds.caption_words import (
    ACCENT_PARTS,
    ATTRIBUTE_VALUES,
    BACKGROUND_WORDS,
    BESIDE,
    BOAT_GROUND_WORDS,
    COLOR_WORDS,
    COLORED_FLOWERS,
    FOGGY_WORDS_WITHOUT_HOUR,
    GROUND_WORDS,
    HELD_OUT_TEMPLATES,
    KIND_WORDS,
    MAXIMUM_WORDS,
    MINIMUM_WORDS,
    MOTION_WORDS,
    NIGHT_CLEAR_WORDS,
    ROOFED,
    SECONDARY_WORDS,
    SIZE_WORDS,
    TEMPLATES,
    TIME_WORDS,
    UNMENTIONED,
    USUAL_VERBS,
    VERBS,
    WEATHER_WORDS,
)
from videorfsplat.data.worlds.grammar import (
    HIDDEN_COLORS,
    SecondaryObject,
    World,
    sample_world,
)

MOTION_SHARE = 0.6

Mentions = dict[str, str | list[str]]

Choice = TypeVar("Choice")


def attributes(world: World) -> Mentions:
    """The labels of `world`, for evaluation; `ATTRIBUTE_VALUES` lists what each may be."""
    return {
        "kind": world.kind,
        "main_color": world.main_color,
        "accent_color": world.accent_color or "none",
        "size": world.size,
        "ground": world.ground,
        "ground_color": world.ground_color or "none",
        "time": world.time,
        "weather": world.weather,
        "background": world.background,
        "motion": world.motion,
        "secondary": [secondary.kind for secondary in world.secondaries],
        "secondary_color": [secondary.color for secondary in world.secondaries],
    }


def caption(world: World, rng: np.random.Generator) -> str:
    """One of the many captions of `world`."""
    return caption_mentions(world, rng)[0]


def caption_mentions(world: World, rng: np.random.Generator) -> tuple[str, Mentions]:
    """One of the many captions of `world`, and the attributes that it states."""
    return _say(world, rng, TEMPLATES)


def paraphrase(world: World, rng: np.random.Generator) -> tuple[str, Mentions]:
    """As `caption_mentions`, in sentence patterns that no caption uses."""
    return _say(world, rng, HELD_OUT_TEMPLATES)


def template_caption(world: World) -> str:
    """The canonical caption: everything that may be said, in the first wording of each list."""
    speaker = _Speaker(world, None)
    slots = {
        "main": speaker.main(with_size=False, with_color=True, with_accent=True),
        "ground": speaker.ground(),
        "time": speaker.time(),
        "weather": speaker.weather(),
        "secondary": speaker.beside(speaker.things(with_color=False)),
        "background": speaker.background(),
        "motion": speaker.motion(),
    }
    return _filled(TEMPLATES[0], slots)


def full_caption(
    world: World,
    rng: np.random.Generator | None = None,
    *,
    stated: Iterable[str] = (),
    said: Iterable[str] = ATTRIBUTE_VALUES,
) -> tuple[str, Mentions]:
    """A caption that says everything that the world has, and what that is.

    Args:
        world: to be described.
        rng: of the wording; `None` takes the first wording of each list.
        stated: attributes whose colours are named even where the light hides them.
        said: attributes that are spoken of at all, beside the kind.
    """
    speaker, said = _Speaker(world, rng, frozenset(stated)), frozenset(said)

    def when(attribute: str, phrase: Callable[[], str]) -> str:
        return phrase() if attribute in said else ""

    slots = {
        "main": speaker.main(
            with_size="size" in said,
            with_color="main_color" in said,
            with_accent="accent_color" in said,
        ),
        "verb": speaker.verb(),
        "ground": when("ground", lambda: speaker.ground(with_color="ground_color" in said)),
        "time": when("time", speaker.time),
        "weather": when("weather", speaker.weather),
        "secondary": when(
            "secondary",
            lambda: speaker.beside(speaker.things(with_color="secondary_color" in said)),
        ),
        "background": when("background", speaker.background),
        "motion": when("motion", speaker.motion),
    }
    usable = [t for t in TEMPLATES if "{secondary}" in t and _fits(t, slots)]
    return _filled(speaker.pick(tuple(usable)), slots), speaker.mentions


def write_captions(path: Path, first_seed: int, num_worlds: int, per_world: int) -> None:
    """Write captions with what they state, `per_world` for each seed, as JSON lines.

    A `.txt` file gets the captions alone, one a line, as `generate` and `train few-step` take them.
    """
    unfinished, is_text = path.with_suffix(".partial"), path.suffix == ".txt"
    with unfinished.open("w") as file:
        for seed in range(first_seed, first_seed + num_worlds):
            world = sample_world(seed)
            rng = np.random.default_rng((seed, 3))
            for _ in range(per_world):
                caption, mentions = caption_mentions(world, rng)
                file.write((caption if is_text else json.dumps([caption, mentions])) + "\n")
    unfinished.replace(path)


def caption_words(text: str) -> list[str]:
    """The words of a caption: lower case, without punctuation; hyphens stay."""
    return re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())


def _say(
    world: World, rng: np.random.Generator, templates: tuple[str, ...]
) -> tuple[str, Mentions]:
    while True:
        text, mentions = _draft(world, rng, templates)
        if MINIMUM_WORDS <= len(caption_words(text)) <= MAXIMUM_WORDS:
            return text, mentions


def _draft(
    world: World, rng: np.random.Generator, templates: tuple[str, ...]
) -> tuple[str, Mentions]:
    """A caption of any length; short forms say a third of what is optional, long ones nearly
    all.
    """
    speaker = _Speaker(world, rng)
    talkative = float(rng.choice((0.3, 0.6, 0.92)))

    def tells(share: float = 1.0) -> bool:
        return bool(rng.random() < share * talkative)

    things = speaker.things(with_color=tells(0.4)) if tells(1.1) else ""
    slots = {
        "main": speaker.main(
            with_size=tells(0.4), with_color=rng.random() < 0.9, with_accent=tells(0.8)
        ),
        "verb": speaker.verb(),
        "ground": speaker.ground() if tells(1.2) else "",
        "time": speaker.time() if tells(1.2) else "",
        "weather": speaker.weather() if tells(0.8) else "",
        "things": things,
        "secondary": speaker.beside(things),
        "background": speaker.background() if tells(0.6) else "",
        "motion": speaker.motion() if rng.random() < MOTION_SHARE else "",
    }
    usable = [template for template in templates if _fits(template, slots)]
    return _filled(str(rng.choice(usable)), slots), speaker.mentions


def _fits(template: str, slots: dict[str, str]) -> bool:
    """Whether the sentence still stands when the empty slots vanish."""
    first = template.split("{")[1].split("}")[0]
    opens_with_slot = template.startswith("{")
    if opens_with_slot and not slots[first]:
        return False
    if "{verb}" in template and not slots["ground"]:
        return False
    needs_motion = "while {motion}" in template
    needs_hour = "it is {time}" in template
    return (slots["motion"] != "" or not needs_motion) and (slots["time"] != "" or not needs_hour)


def _filled(template: str, slots: dict[str, str]) -> str:
    text = template
    for name, value in slots.items():
        text = text.replace("{" + name + "}", value)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s+([,.;:])", r"\1", text)
    # Punctuation around a slot that stayed empty: the strongest mark of a run is kept.
    text = re.sub(r"[,.;:]{2,}|[,.;:](?: [,.;:])+", _strongest_mark, text)
    return text.strip(" ,.;:")


def _strongest_mark(match: re.Match[str]) -> str:
    marks = match.group()
    return next(mark for mark in ":.;," if mark in marks)


def _with_article(noun: str) -> str:
    return ("an " if noun[0] in "aeiou" else "a ") + noun


@dataclass
class _Speaker:
    """Words for one world and a record of what they said; without a generator the first wording."""

    world: World
    rng: np.random.Generator | None
    always_named: frozenset[str] = frozenset()
    """Attributes whose colours are named even where the light hides them."""
    mentions: Mentions = field(init=False)

    def __post_init__(self) -> None:
        self.mentions = dict.fromkeys(ATTRIBUTE_VALUES, UNMENTIONED)
        self.mentions["secondary"] = []
        self.mentions["secondary_color"] = []

    def main(self, *, with_size: bool, with_color: bool, with_accent: bool) -> str:
        """The main object with article, as in "a small white house with a red roof"."""
        world = self.world
        noun = self.pick(KIND_WORDS[world.kind])
        self.mentions["kind"] = world.kind
        words = []
        if with_size:
            words.append(self.pick(SIZE_WORDS[world.size]))
            self.mentions["size"] = world.size
        color = self._color(world.main_color, "main_color") if with_color else ""
        has_accent = with_accent and world.kind in ACCENT_PARTS
        accent = self._color(world.accent_color, "accent_color") if has_accent else ""
        has_tail = " with " in noun
        if accent and world.kind in ROOFED and not has_tail and self._chance(0.3):
            words.append(f"{accent}-{ROOFED[world.kind]}")
            accent = ""
        words += [color, noun]
        text = _with_article(" ".join(word for word in words if word))
        if accent:
            text += (" and " if has_tail else " with ") + self._accent_phrase(accent)
        return text

    def _accent_phrase(self, accent: str) -> str:
        part = self.pick(ACCENT_PARTS[self.world.kind])
        is_plural = part.endswith("s") or " and " in part
        return f"{accent} {part}" if is_plural else _with_article(f"{accent} {part}")

    def _color(self, color: str, attribute: str) -> str:
        """A word for `color`, or nothing when the light hides it."""
        if not color or self._hides(color, attribute):
            return ""
        self.mentions[attribute] = color
        return self.pick(COLOR_WORDS[color])

    def verb(self) -> str:
        """What the main object does."""
        return self.pick(VERBS.get(self.world.kind, USUAL_VERBS))

    def ground(self, *, with_color: bool = False) -> str:
        """Where it stands; flowers have their colour named always or now and then."""
        world = self.world
        self.mentions["ground"] = world.ground
        if (
            world.ground == "flower field"
            and not self._hides(world.ground_color, "ground_color")
            and (with_color or self._chance(0.6))
        ):
            color = self._color(world.ground_color, "ground_color")
            return self._raised(self.pick(COLORED_FLOWERS).format(color=color))
        if world.kind == "sailboat" and world.ground == "lake":
            return self.pick(BOAT_GROUND_WORDS)
        shown = (
            w for w in GROUND_WORDS[world.ground] if not HIDDEN_COLORS[world.time] & {*w.split()}
        )
        return self._raised(self.pick(tuple(shown)))

    def _raised(self, place: str) -> str:
        """A balloon is over what others are on or in."""
        is_aloft = self.world.kind == "hot air balloon"
        return re.sub(r"^(on|in) ", "over ", place) if is_aloft else place

    def time(self) -> str:
        """The time of day."""
        self.mentions["time"] = self.world.time
        return self.pick(TIME_WORDS[self.world.time])

    def weather(self) -> str:
        """The weather; a sky full of stars says night as well."""
        world = self.world
        self.mentions["weather"] = world.weather
        if world.weather == "clear" and world.time == "night" and self._chance(0.6):
            self.mentions["time"] = "night"
            return self.pick(NIGHT_CLEAR_WORDS)
        if world.weather == "foggy" and world.time != "day":
            return self.pick(FOGGY_WORDS_WITHOUT_HOUR)
        return self.pick(WEATHER_WORDS[world.weather])

    def background(self) -> str:
        """What stands on the horizon."""
        if self.world.background == "none":
            return ""
        self.mentions["background"] = self.world.background
        return self.pick(BACKGROUND_WORDS[self.world.background])

    def motion(self) -> str:
        """How the camera moves."""
        self.mentions["motion"] = self.world.motion
        return self.pick(MOTION_WORDS[self.world.motion])

    def beside(self, things: str) -> str:
        """How `things` stand to the main object, as in "with two pine trees beside it"."""
        return self.pick(BESIDE).format(things=things) if things else ""

    def things(self, *, with_color: bool) -> str:
        """The objects at the sides, as in "two pine trees"."""
        secondaries = self.world.secondaries
        if not secondaries:
            return ""
        self.mentions["secondary"] = [secondary.kind for secondary in secondaries]
        said: list[str] = []
        if len(secondaries) == 2 and _are_alike(*secondaries):
            color = self._secondary_color(0) if with_color else ""
            plural = self.pick(SECONDARY_WORDS[secondaries[0].kind])[1]
            said.append(" ".join(word for word in ("two", color, plural) if word))
        else:
            for index, secondary in enumerate(secondaries):
                color = self._secondary_color(index) if with_color else ""
                singular = self.pick(SECONDARY_WORDS[secondary.kind])[0]
                said.append(_with_article(f"{color} {singular}".strip()))
        return " and ".join(said)

    def _secondary_color(self, index: int) -> str:
        color = self.world.secondaries[index].color
        if self._hides(color, "secondary_color"):
            return ""
        colors = self.mentions["secondary_color"]
        assert isinstance(colors, list)
        colors.append(color)
        return self.pick(COLOR_WORDS[color])

    def _hides(self, color: str, attribute: str) -> bool:
        """Whether the light makes the colour hard to tell and nobody asked for its name."""
        is_hidden = color in HIDDEN_COLORS[self.world.time]
        return is_hidden and attribute not in self.always_named

    def _chance(self, share: float) -> bool:
        return self.rng is not None and bool(self.rng.random() < share)

    def pick(self, values: tuple[Choice, ...]) -> Choice:
        return values[0] if self.rng is None else values[int(self.rng.integers(len(values)))]


def _are_alike(one: SecondaryObject, other: SecondaryObject) -> bool:
    return (one.kind, one.color) == (other.kind, other.color)


def _said_strings() -> Iterable[str]:
    """Every string that captions are made of."""
    tables: list[dict] = [
        COLOR_WORDS,
        KIND_WORDS,
        ACCENT_PARTS,
        SIZE_WORDS,
        GROUND_WORDS,
        TIME_WORDS,
    ]
    tables += [WEATHER_WORDS, BACKGROUND_WORDS, MOTION_WORDS, VERBS]
    for table in tables:
        for values in table.values():
            yield from values
    for pairs in SECONDARY_WORDS.values():
        for pair in pairs:
            yield from pair
    for color_words in COLOR_WORDS.values():
        for word in color_words:
            yield from (f"{word}-{adjective}" for adjective in ROOFED.values())
    lists = (BOAT_GROUND_WORDS, COLORED_FLOWERS, NIGHT_CLEAR_WORDS, USUAL_VERBS, BESIDE, TEMPLATES)
    for values in lists:
        yield from values
    yield "a an and with two over"


def _words_outside_slots(text: str) -> list[str]:
    return caption_words(re.sub(r"\{\w+\}", " ", text))


VOCABULARY: frozenset[str] = frozenset(
    word for text in _said_strings() for word in _words_outside_slots(text)
)
"""Every word that captions use, lower case; hyphenated words count as one."""
