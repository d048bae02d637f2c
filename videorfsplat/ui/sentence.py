"""The sentence and its chips: what the model read in it, filled in, and what a visitor chose."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from videorfsplat.language.choices import LISTS
from videorfsplat.ui.page_files import read_asset

LABELS: dict[str, str] = {
    "kind": "Object",
    "main_color": "Colour",
    "ground": "Ground",
    "time": "Time",
    "motion": "Camera",
    "size": "Size",
    "accent_color": "Second colour",
    "secondary": "Beside it",
    "secondary_color": "Its colour",
    "ground_color": "Flowers",
    "weather": "Sky",
    "background": "Distance",
}
"""Attributes of a scene that have a chip, and what their chips say."""

ALWAYS_SHOWN = ("kind", "main_color", "ground", "time", "motion")
"""The others are shown once they have a value, or are asked for."""

PHRASES: dict[str, dict[str, str]] = {
    "ground": {
        "meadow": "on a meadow",
        "snow": "in the snow",
        "sand": "on sand",
        "lake": "by a lake",
        "pavement": "on a paved square",
        "autumn leaves": "on autumn leaves",
        "flower field": "in a field of flowers",
        "dirt": "on bare dirt",
    },
    "time": {
        "day": "by day",
        "sunset": "at sunset",
        "night": "at night",
        "dawn": "at dawn",
    },
    "motion": {
        "orbit_left": "the camera orbits to the left",
        "orbit_right": "the camera orbits to the right",
        "dolly_in": "the camera moves closer",
        "dolly_out": "the camera moves away",
        "truck_left": "the camera slides to the left",
        "truck_right": "the camera slides to the right",
        "crane_up": "the camera rises",
        "crane_down": "the camera sinks",
        "pan_left": "the camera pans to the left",
        "pan_right": "the camera pans to the right",
    },
}
"""What chips write into an empty sentence. Values that are not here stand for themselves."""

CAN_DRAW = (
    "A small demo model: toy objects outdoors, in a few colours. No people, rooms or photographs."
)


class SentenceChips(gr.HTML):
    """A row of chips under the sentence; its value is what a visitor chose, as JSON.

    `{"choices": {attribute: value or null}, "seed": that of the shown scene, or null}`. Into an
    empty sentence the chips write; over a typed one they are choices.

    Args:
        attributes: names and values of those that the model's reader knows; none hides the row.
        **options: of `gr.HTML`.
    """

    def __init__(self, attributes: Mapping[str, Sequence[str]], **options: Any) -> None:
        super().__init__(
            value=chosen_json(),
            html_template=_chips_html(attributes),
            js_on_load=read_asset("sentence_chips.js"),
            apply_default_css=False,
            elem_id="chips",
            visible=bool(attributes),
            **options,
        )


def chosen_json(choices: Mapping[str, Any] | None = None) -> str:
    """The value of the chips for these choices."""
    return json.dumps({"choices": dict(choices or {}), "seed": None})


def chosen(value: Any) -> tuple[dict[str, Any], int | None]:
    """Choices and the kept seed in a value of the chips.

    Raises:
        ValueError: if a program sent something else.
    """
    if value is None:
        return {}, None
    try:
        parts = json.loads(value)
        choices, seed = dict(parts["choices"]), parts["seed"]
    except (TypeError, ValueError, KeyError, RecursionError) as error:
        raise ValueError(f"The chips must hold JSON with choices and seed: {error}") from error
    return choices, seed


def reader_attributes(folder: Path) -> dict[str, list[str]]:
    """What the prompt reader of a saved model knows, without loading it; empty if it has none."""
    path = folder / "prompt_reader" / "config.json"
    if not path.is_file():
        return {}
    config = json.loads(path.read_bytes())
    lists = {name: config[key] for name, key in zip(LISTS, _LIST_KEYS, strict=True)}
    return {**config["attributes"], **lists}


def words_note(reading: Any) -> str:
    """What a visitor should know of the words written, as HTML that the chips read, too.

    Args:
        reading: a `videorfsplat.language.reading.Reading`.
    """
    stated = html.escape(json.dumps({"prompt": reading.prompt, "stated": reading.values}))
    notes = " ".join(html.escape(note) for note in reading.notes)
    role = ' role="status"' if notes else ""
    return f'<p class="reading"{role} data-reading="{stated}">{notes}</p>'


# Names of the lists in a reader's configuration.
_LIST_KEYS = ("secondary", "secondary_colors")


def _chips_html(attributes: Mapping[str, Sequence[str]]) -> str:
    chips = "".join(
        _chip(attribute, label, attributes[attribute])
        for attribute, label in LABELS.items()
        if attribute in attributes
    )
    return (
        f'<div class="chips">{chips}'
        '<button type="button" class="chip" data-more aria-expanded="false">More…</button>'
        '<button type="button" class="chip" data-surprise>Surprise me</button>'
        '<button type="button" class="chip" data-back hidden>Back to my sentence</button></div>'
        '<p class="kept-seed" hidden><span></span> '
        '<button type="button" data-new-seed>Draw a new one</button></p>'
    )


def _chip(attribute: str, label: str, values: Sequence[str]) -> str:
    phrases = PHRASES.get(attribute, {})
    is_list = attribute in LISTS
    options = "".join(
        f'<option value="{html.escape(json.dumps([value]) if is_list else value)}" '
        f'data-phrase="{html.escape(phrases.get(value, value))}">'
        f"{html.escape(value.replace('_', ' '))}</option>"
        for value in values
    )
    hidden = "" if attribute in ALWAYS_SHOWN else " hidden"
    return (
        f'<label class="chip"{hidden}><span>{label}</span><select data-attribute="{attribute}" '
        f'aria-label="{label}"><option value="">any</option>{options}</select></label>'
    )
