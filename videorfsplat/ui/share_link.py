"""Settings in the address of the page, so that a link reproduces a result."""

import html
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any
from urllib.parse import urlencode

from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.ui.given_cameras import FILE_TRAJECTORY, PRESETS

SCENE_KEY = "scene"
"""Name of the kept result, if there is one."""

ON_LOAD = """
element.addEventListener('click', async (event) => {
    const button = event.target.closest('button');
    if (!button) return;
    const link = element.querySelector('a');
    // Browsers give no clipboard to pages without https; then it is marked to be copied by hand.
    if (!navigator.clipboard) return void getSelection().selectAllChildren(link);
    try {
        await navigator.clipboard.writeText(link.href);
        button.textContent = 'Copied';
    } catch {
        getSelection().selectAllChildren(link);
    }
});
"""
"""Script of the component that shows a link: its button copies the whole address."""

_WHOLE = ("seed", "num_inference_steps")
_TEXT = ("prompt", "trajectory")
_FLAGS = ("few_step", "complete")
_OBJECTS = ("choices",)
# Which model runs is decided by whoever started the page.
_KEYS = tuple(field.name for field in fields(GenerationSettings) if field.name != "model")


def share_query(settings: GenerationSettings, scene: str | None = None) -> str:
    """The query of a link to these settings. Of a camera file it says only that there was one.

    Args:
        settings: what the link reproduces.
        scene: name of the kept result.
    """
    if settings.trajectory not in (None, *PRESETS):
        settings = replace(settings, trajectory=FILE_TRAJECTORY)
    values = {key: getattr(settings, key) for key in _KEYS}
    # What is not chosen needs no place in the address.
    values |= {key: json.dumps(values[key]) if values[key] else None for key in _OBJECTS}
    values[SCENE_KEY] = scene
    return urlencode({key: value for key, value in values.items() if value is not None})


def share_line(query: str) -> str:
    """A link of that query and a button that copies it, as HTML."""
    return (
        f'<p class="share"><a href="?{html.escape(query)}">Link to this scene</a>'
        '<button type="button">Copy</button></p>'
    )


def settings_from_query(query: Mapping[str, str]) -> GenerationSettings | None:
    """The settings of a link; `None` if the address has none.

    Raises:
        ValueError: naming the setting that is no number, out of range or unknown.
    """
    given = {key: query[key] for key in _KEYS if key in query}
    if "prompt" not in given:
        return None
    if given.get("trajectory") not in (None, FILE_TRAJECTORY, *PRESETS):
        raise ValueError(f"trajectory must be one of {', '.join(PRESETS)}")
    return GenerationSettings.from_dict({key: _parse(key, text) for key, text in given.items()})


def _parse(key: str, text: str) -> Any:
    if key in _TEXT:
        return text
    if key in _OBJECTS:
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{key} must be JSON, got {text!r:.40}") from error
    if key in _FLAGS:
        if text not in ("True", "False"):
            raise ValueError(f"{key} must be True or False, got {text!r:.40}")
        return text == "True"
    try:
        return int(text) if key in _WHOLE else float(text)
    except ValueError as error:
        raise ValueError(f"{key} must be a number, got {text!r:.40}") from error
