"""The splat viewer as a component of the page."""

from pathlib import Path
from typing import Any

import gradio as gr

from videorfsplat.formats.viewer_folder import VIEWER_FOLDER
from videorfsplat.ui.page_files import file_url, read_asset
from videorfsplat.ui.scene_folder import SPLATS_NAME
from videorfsplat.ui.viewer_protocol import check_message, host_message

Messages = list[dict[str, Any]]

_TEMPLATE = """
<iframe src="${src}" title="${title}" class="splat-frame"
    allow="fullscreen; xr-spatial-tracking; gamepad; clipboard-write"></iframe>
<div class="splat-empty" aria-hidden="true"><p>${empty}</p></div>
<div class="splat-prediction" aria-hidden="true"></div>
<img class="splat-poster" alt="" src="${poster}"/>
"""


class SplatViewer(gr.HTML):
    """Shows a scene and its cameras; its value is a list of messages to the viewer.

    The file addresses in messages are relative to the page (`page_files.file_url`).

    Args:
        name: of this viewer, in the page's events `viewer-message` and `goto-camera`.
        title: of the frame, for screen readers.
        empty: words shown as long as there is nothing to see.
        poster: address of a picture shown until the first scene is there.
        group: viewers of one group share one view.
        **options: of `gr.HTML`.
    """

    def __init__(
        self,
        name: str,
        title: str,
        empty: str = "",
        group: str = "",
        poster: str = "",
        **options: Any,
    ) -> None:
        super().__init__(
            value=options.pop("value", []),
            html_template=_TEMPLATE,
            js_on_load=read_asset("splat_viewer.js"),
            apply_default_css=False,
            elem_classes=["splat-viewer", *options.pop("elem_classes", [])],
            src=file_url(VIEWER_FOLDER / "index.html"),
            name=name,
            title=title,
            empty=empty,
            group=group,
            poster=poster,
            **options,
        )

    def postprocess(self, value: Messages | None) -> Messages:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Check what is to be sent.

        Raises:
            ValueError: if a message does not fit the protocol.
        """
        messages = value or []
        for message in messages:
            check_message(message, "HostMessage")
        return messages

    def api_info(self) -> dict[str, Any]:
        """The value as JSON schema."""
        return {"type": "array", "items": {"type": "object"}}


def show_scene_messages(folder: Path) -> Messages:
    """Show the scene of a folder, from its smaller file if there is one."""
    small = folder / SPLATS_NAME
    content = small if small.is_file() else folder / "scene.ply"
    cameras = file_url(folder / "transforms.json")
    return [host_message("load", content=file_url(content), cameras=cameras)]


def show_cameras_messages(cameras: dict[str, Any]) -> Messages:
    """Show cameras without a scene, all of them in view until a hand has moved it.

    Args:
        cameras: contents of a `transforms.json` with pictures as `data:` addresses, or none.
    """
    return [host_message("clear"), host_message("cameras", cameras=cameras)]
