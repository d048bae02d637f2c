"""The generated views in a row, depth below, each in the colour of its camera."""

import json
from collections.abc import Sequence

from videorfsplat.geometry.view_colors import VIEW_COLORS

NO_FRAMES = '<ol class="frame-strip" aria-label="Frames"></ol>'

_ON_LOAD = """
element.addEventListener('click', (event) => {
    const button = event.target.closest('button[data-camera]');
    if (!button) return;
    const detail = { viewer: VIEWER, camera: Number(button.dataset.camera) };
    document.dispatchEvent(new CustomEvent('goto-camera', { detail }));
});
document.addEventListener('viewer-message', ({ detail }) => {
    if (detail.viewer !== VIEWER || detail.message.type !== 'cameraSelected') return;
    for (const button of element.querySelectorAll('button[data-camera]')) {
        const isChosen = Number(button.dataset.camera) === detail.message.camera;
        button.setAttribute('aria-pressed', String(isChosen));
    }
});
"""


def on_load(viewer: str) -> str:
    """Script of the component: a frame shows its camera in that viewer, which marks it."""
    return f"const VIEWER = {json.dumps(viewer)};{_ON_LOAD}"


def frame_strip(frames: Sequence[str], depths: Sequence[str] = ()) -> str:
    """The row as HTML.

    Args:
        frames: addresses of V pictures.
        depths: addresses of V depth pictures, or none.

    Raises:
        ValueError: if there are depths, but not V.
    """
    if depths and len(depths) != len(frames):
        raise ValueError(f"expected {len(frames)} depth pictures, got {len(depths)}")
    items = []
    for index, frame in enumerate(frames):
        color = VIEW_COLORS[index % len(VIEW_COLORS)]
        depth = f'<img class="depth" src="{depths[index]}" alt="Its depth"/>' if depths else ""
        items.append(
            f'<li style="--view: {color}"><button type="button" data-camera="{index}" '
            f'aria-pressed="false" title="Show the scene from camera {index + 1}">'
            f'<img src="{frame}" alt="View {index + 1}"/>{depth}'
            f'<span class="number">{index + 1}</span></button></li>'
        )
    return f'<ol class="frame-strip" aria-label="Frames">{"".join(items)}</ol>'
