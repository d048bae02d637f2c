"""Completes a prompt: what it leaves open is drawn from the grammar of the worlds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from videorfsplat.data.worlds.caption_words import (
    ACCENT_PARTS,
    ATTRIBUTE_VALUES,
    UNMENTIONED,
)
from videorfsplat.data.worlds.captions import (
    full_caption,
)
from videorfsplat.data.worlds.conditional import draw_world
from videorfsplat.language.choices import MOST_SECONDARY, Choices, Value
from videorfsplat.language.reading import Reading


@dataclass(frozen=True)
class Completion:
    """A full caption: what a prompt states, and what the seed added."""

    prompt: str
    caption: str
    """What the model is given."""
    stated: Mapping[str, Value]
    """By attribute, from the prompt and from choices."""
    filled: Mapping[str, Value]
    """By attribute, drawn by the seed. What the caption does not say is absent."""
    notes: tuple[str, ...]
    """Sentences for the writer: what cannot be drawn as said."""


def complete_reading(
    reading: Reading,
    seed: int,
    choices: Choices | None = None,
    *,
    filled: Iterable[str] | None = None,
    with_motion: bool = True,
) -> Completion:
    """The caption of a world that has what a prompt states.

    The same reading and seed give the same caption. A choice more changes what it speaks of, and
    of the rest only what the grammar makes depend on it.

    Args:
        reading: of the prompt.
        seed: of everything that is not stated.
        choices: what shall be otherwise than it was read.
        filled: attributes that the seed fills in, beside the kind; all of them if absent. The
            caption says nothing of the others, and the model is free.
        with_motion: `False` says nothing of the camera, for cameras that are given.

    Raises:
        ValueError: if the seed is negative, or an attribute or a value does not exist.
    """
    stated: dict[str, Value] = dict(reading.values)
    for name, value in (choices or {}).items():
        if value is None:
            stated.pop(name, None)
        else:
            stated[name] = tuple(value) if isinstance(value, list) else value
    notes = list(reading.notes) if "kind" not in (choices or {}) else []
    notes += _drop_impossible(stated)
    world = draw_world(seed, stated)
    said = {*stated, *(ATTRIBUTE_VALUES if filled is None else filled)}
    if not with_motion:
        stated.pop("motion", None)
        said.discard("motion")
    caption, mentions = full_caption(world, stated=stated, said=said)
    added = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in mentions.items()
        if name not in stated and value and value != UNMENTIONED
    }
    return Completion(reading.prompt, caption, stated, added, tuple(notes))


def _drop_impossible(stated: dict[str, Value]) -> list[str]:
    """Take out what the worlds have no place for, and say so."""
    notes = []
    kind, secondary = stated.get("kind"), stated.get("secondary", ())
    if "accent_color" in stated and kind is not None and kind not in ACCENT_PARTS:
        del stated["accent_color"]
        notes.append(f"A {kind} has one colour in this model.")
    has_flowers = stated.get("ground_color", "none") != "none"
    if has_flowers and stated.setdefault("ground", "flower field") != "flower field":
        del stated["ground_color"]
        notes.append("Flowers grow in a flower field only.")
    if len(secondary) > MOST_SECONDARY:
        stated["secondary"] = tuple(secondary[:MOST_SECONDARY])
        notes.append("At most two things stand beside the main one.")
    if not secondary and stated.pop("secondary_color", ()):
        notes.append("Nothing was named beside the main object that could have a colour.")
    return notes
