"""What a visitor can write: words that the small model knows, and chips that build a sentence."""

import html
import json
import re
from pathlib import Path
from typing import Any

import gradio as gr

from videorfsplat.data.worlds.captions import (
    ATTRIBUTE_VALUES,
    GROUND_WORDS,
    MOTION_WORDS,
    TIME_WORDS,
    VOCABULARY,
)
from videorfsplat.data.worlds.objects import KINDS, PALETTE
from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS
from videorfsplat.ui.page_files import read_asset

# A tokenizer made for the training captions is this small; T5's own has 32,000 entries.
_CAPTION_TOKENIZER_SIZE = 10_000

# A word of any script, so that what is not English is marked as well.
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_NEGATIONS = frozenset({"no", "not", "without", "never", "don't", "doesn't", "isn't", "aren't"})

# More of them are not read, and would push the buttons away.
_MOST_NAMED = 6

CHIPS: tuple[tuple[str, str], ...] = (
    ("kind", "Object"),
    ("main_color", "Colour"),
    ("ground", "Ground"),
    ("time", "Time"),
    ("motion", "Camera"),
)
"""Attributes that can be chosen, and what their chips say."""

_PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "ground": GROUND_WORDS,
    "time": TIME_WORDS,
    "motion": MOTION_WORDS,
}

CAN_DRAW = (
    f"A small demo model: {len(KINDS)} toy objects outdoors in {len(PALETTE)} colours. "
    "No people, rooms or photographs."
)


class SentenceChips(gr.HTML):
    """A row of chips that write into the sentence; works without the server."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            html_template=_chips_html(),
            js_on_load=read_asset("sentence_chips.js"),
            apply_default_css=False,
            elem_id="chips",
            **options,
        )


def knows_captions_only(folder: Path) -> bool:
    """Whether a saved model's words are those of the training captions; without loading it."""
    path = folder / "tokenizer" / "tokenizer.json"
    if not path.is_file():
        return False
    vocabulary = json.loads(path.read_bytes())["model"]["vocab"]
    return len(vocabulary) < _CAPTION_TOKENIZER_SIZE


def unknown_words(prompt: str) -> list[str]:
    """The words that no training caption has, in the order of the prompt, each once.

    Raises:
        ValueError: if the prompt is longer than one may be.
    """
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise ValueError(f"Write at most {MAX_PROMPT_CHARACTERS} characters.")
    words = dict.fromkeys(match.group().lower() for match in _WORD.finditer(prompt))
    return [word for word in words if word not in VOCABULARY]


def word_note(prompt: str) -> str:
    """What a visitor should know of the words written, as HTML; nothing if all are known."""
    words = [match.group().lower() for match in _WORD.finditer(prompt)]
    if not prompt.strip():
        return ""
    unknown = unknown_words(prompt)
    if len(unknown) == len(set(words)):
        return _note("I know none of these words (English only). The result will be random.")
    negations = [word for word in dict.fromkeys(words) if word in _NEGATIONS]
    unknown = [word for word in unknown if word not in _NEGATIONS]
    notes = []
    if unknown:
        named = ", ".join(f"<mark>{html.escape(word)}</mark>" for word in unknown[:_MOST_NAMED])
        more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
        it = "it" if len(unknown) == 1 else "them"
        notes.append(f"New to this model: {named}{more}. It will guess or ignore {it}.")
    if negations:
        notes.append(
            f"I do not understand “{html.escape(negations[0])}”: what it rules out may well appear."
        )
    return _note(" ".join(notes)) if notes else ""


def reading_note(notes: tuple[str, ...]) -> str:
    """What a model's own reader says of a sentence, as HTML."""
    return _note(" ".join(html.escape(note) for note in notes)) if notes else ""


def _note(text: str) -> str:
    return f'<p class="unknown-words" role="status">{text}</p>'


def _chips_html() -> str:
    chips = "".join(_chip(attribute, label) for attribute, label in CHIPS)
    return (
        f'<div class="chips">{chips}<button type="button" class="chip" data-surprise>'
        "Surprise me</button>"
        '<button type="button" class="chip" data-back hidden>Back to my sentence</button></div>'
    )


def _chip(attribute: str, label: str) -> str:
    phrases = _PHRASES.get(attribute, {})
    options = "".join(
        f'<option value="{html.escape(value)}" '
        f'data-phrase="{html.escape(phrases.get(value, (value,))[0])}">'
        f"{html.escape(value.replace('_', ' '))}</option>"
        for value in ATTRIBUTE_VALUES[attribute]
    )
    return (
        f'<label class="chip"><span>{label}</span><select data-attribute="{attribute}" '
        f'aria-label="{label}"><option value="">any</option>{options}</select></label>'
    )
