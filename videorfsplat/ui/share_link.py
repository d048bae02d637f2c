"""Settings and scenes in addresses: links that bring them back, and the page that a link opens."""

import html
import json
import time
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from videorfsplat.formats.viewer_folder import VIEWER_FOLDER
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.ui.given_cameras import FILE_TRAJECTORY, PRESETS
from videorfsplat.ui.page_files import file_url
from videorfsplat.ui.request_files import MAX_AGE_SECONDS
from videorfsplat.ui.scene_folder import SPLATS_NAME, middle_frame, read_scene_record

SCENE_KEY = "scene"
"""Name of the kept result, if there is one."""

PAGE_PATH = "/s/{name}"
"""Where a kept scene has a page of its own."""

ON_LOAD = """
element.addEventListener('click', async (event) => {
    if (event.target.closest('[data-share]')) return void trigger('ask');
    const button = event.target.closest('[data-copy]');
    if (!button) return;
    const field = button.parentElement.querySelector('input');
    field.select();
    // Browsers give no clipboard to pages without https; then it is marked to be copied by hand.
    try {
        await navigator.clipboard.writeText(field.value);
        button.textContent = 'Copied';
    } catch {
        button.textContent = 'Press Ctrl+C';
    }
});
"""
"""Script of the component that shows a link: its buttons copy the whole address."""

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


def share_buttons() -> str:
    """The button that asks for a link, as HTML."""
    return '<button type="button" class="share-button" data-share>Share</button>'


def share_panel(address: str, note: str, embed: str = "") -> str:
    """The button, a link to copy, code for another page, and how long they hold, as HTML."""
    rows = {"Link": address, "Embed": embed}
    return (
        f'{share_buttons()}<div class="share-panel">'
        f"{''.join(_share_row(label, text) for label, text in rows.items() if text)}"
        f"<p>{html.escape(note)}</p></div>"
    )


def embed_code(address: str) -> str:
    """What shows the scene of an address in another page, as HTML."""
    return (
        f'<iframe src="{html.escape(address)}" width="640" height="480" title="3D scene" '
        'style="border:0" allow="fullscreen"></iframe>'
    )


def _share_row(label: str, text: str) -> str:
    return (
        f'<div class="share-row"><label><span>{label}</span>'
        f'<input type="text" readonly value="{html.escape(text)}"/></label>'
        '<button type="button" data-copy>Copy</button></div>'
    )


def scene_address(base: str, folder: Path) -> str:
    """The address of a kept scene's own page; its query makes the scene again once it is gone.

    Args:
        base: address of the page, without a query.
        folder: of the scene.
    """
    settings = GenerationSettings.from_dict(read_scene_record(folder)["record"]["settings"])
    path = PAGE_PATH.format(name=folder.name)
    return f"{base.rstrip('/')}{path}?{share_query(settings)}"


def kept_until(folder: Path) -> str:
    """When a scene goes, in words."""
    ends = time.gmtime(folder.stat().st_mtime + MAX_AGE_SECONDS)
    return time.strftime("Kept until %d %B, %H:%M UTC; after that the link makes it again.", ends)


def scene_page(folder: Path, base: str, query: str) -> str:
    """A page of nothing but a scene, with a picture and words for those who pass its link on.

    Args:
        folder: of the scene.
        base: address of the page, without a query.
        query: of this link, for those who want to make their own.
    """
    prompt = html.escape(read_scene_record(folder)["record"]["settings"]["prompt"])
    root = base.rstrip("/")
    content = f"{root}/{file_url(folder / SPLATS_NAME)}"
    cameras = f"{root}/{file_url(folder / 'transforms.json')}"
    viewer = f"{root}/{file_url(VIEWER_FOLDER / 'index.html')}"
    source = f"{viewer}?content={quote(content, safe='')}&cameras={quote(cameras, safe='')}"
    picture = html.escape(f"{root}/{file_url(middle_frame(folder))}")
    address = html.escape(f"{root}{PAGE_PATH.format(name=folder.name)}?{query}")
    words = "A 3D scene to walk through, made from one sentence."
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>{prompt} · VideoRFSplat</title>
<meta name="description" content="{words}"/>
<meta property="og:type" content="website"/>
<meta property="og:title" content="{prompt}"/>
<meta property="og:description" content="{words}"/>
<meta property="og:image" content="{picture}"/>
<meta property="og:url" content="{address}"/>
<meta name="twitter:card" content="summary_large_image"/>
<link rel="icon" href="data:,"/>
<style>
html, body {{ margin: 0; height: 100%; background: #101013; color: #f4f4f5;
  font: 15px/1.4 system-ui, sans-serif; }}
body {{ display: grid; grid-template-rows: 1fr auto; }}
iframe {{ width: 100%; height: 100%; border: 0; }}
footer {{ display: flex; flex-wrap: wrap; gap: 6px 16px; align-items: center;
  justify-content: space-between; padding: 10px 16px; }}
p {{ margin: 0; }}
a {{ color: #8ea4ff; padding: 10px 0; }}
</style>
</head>
<body>
<iframe src="{html.escape(source)}" title="3D scene: {prompt}"
  allow="fullscreen; xr-spatial-tracking; gamepad"></iframe>
<footer><p>{prompt}</p><a href="{html.escape(f"{root}/?{query}&{SCENE_KEY}={folder.name}")}"
  target="_top">Make your own</a></footer>
</body>
</html>
"""


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
