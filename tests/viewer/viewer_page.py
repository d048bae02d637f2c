"""A page with the viewer in a frame, driven through its protocol."""

import base64
import io
import json
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import ConsoleMessage, FrameLocator, Page, Request

from videorfsplat.ui.viewer_protocol import check_message, host_message

TIMEOUT_MS = 30_000
"""A loaded scene takes a second or two on two idle cores; this is for busy ones."""


class ViewerPage:
    def __init__(self, page: Page, site: str) -> None:
        self.page = page
        self.site = site
        self.requests: list[str] = []
        self.problems: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("request", self._note_request)
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.goto(f"{site}/host.html")
        self.send("hello")
        self.wait_for("ready")

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator("#viewer")

    @property
    def surface(self) -> Any:
        return self.frame.get_by_role("application")

    def button(self, name: str) -> Any:
        return self.frame.get_by_role("button", name=name, exact=True)

    def send(self, type: str, **fields: Any) -> None:
        self.page.evaluate("message => window.send(message)", host_message(type, **fields))

    def messages(self, type: str | None = None) -> list[dict[str, Any]]:
        found = self.page.evaluate("() => window.messages")
        return [message for message in found if type in (None, message["type"])]

    def forget(self) -> None:
        """Start a new list of messages; those so far are checked."""
        self._check_messages()
        self.page.evaluate("() => { window.messages = []; }")

    def wait_for(self, type: str, **fields: Any) -> dict[str, Any]:
        """The first message of this type, sent or to come, whose fields have these values."""
        wanted = {"type": type, **fields}
        script = """wanted => window.messages.find((message) => Object.entries(wanted).every(
            ([name, value]) => JSON.stringify(message[name]) === JSON.stringify(value)))"""
        return self.page.wait_for_function(script, arg=wanted).json_value()

    def load(self, content: str, **fields: Any) -> dict[str, Any]:
        """Load a scene of the site and wait for its first picture."""
        self.forget()
        self.send("load", content=f"{self.site}/{content}", **fields)
        return self.wait_for("loaded")

    def pose(self) -> dict[str, Any]:
        """The last pose the viewer reported, once it comes to rest."""
        script = """() => new Promise((resolve) => {
            let [count, still] = [-1, 0];
            const look = () => {
                still = window.messages.length === count ? still + 1 : 0;
                count = window.messages.length;
                if (still > 10) resolve(window.messages.findLast((m) => m.type === 'pose'));
                else setTimeout(look, 50);
            };
            look();
        })"""
        return self.page.evaluate(script)

    def capture(self, t: float, width: int, height: int, **fields: Any) -> np.ndarray:
        """A picture [height, width, 4] from a position on the path."""
        identity = f"capture-{len(self.messages())}"
        self.send("capture", id=identity, t=t, width=width, height=height, **fields)
        return decode_png(self.wait_for("screenshot", id=identity)["image"])

    def screenshot(self) -> np.ndarray:
        """What is on screen where the viewer is, [height, width, 3]."""
        data = self.page.locator("#viewer").screenshot()
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))

    def resize(self, width: int, height: int) -> None:
        """Change the size of the viewer and let it draw."""
        self.page.set_viewport_size({"width": width, "height": height + 60})
        script = "(frame, [w, h]) => { frame.width = w; frame.height = h; }"
        self.page.locator("#viewer").evaluate(script, [width, height])
        self.page.wait_for_timeout(500)

    def frames_drawn(self) -> int:
        return self.page.evaluate(
            "() => document.getElementById('viewer').contentWindow.splatViewer.framesDrawn"
        )

    def check(self) -> None:
        """Everything that must hold at the end of every test."""
        self._check_messages()
        assert self.problems == []
        elsewhere = [url for url in self.requests if not url.startswith(self.site)]
        assert elsewhere == []

    def _check_messages(self) -> None:
        for message in self.messages():
            check_message(message, "ViewerMessage")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith(("data:", f"blob:{self.site}")):
            self.requests.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        # A missing file is what some tests are about; the browser says so by itself.
        expected = "Failed to load resource"
        if message.type in ("error", "warning") and not message.text.startswith(expected):
            self.problems.append(message.text)


def decode_png(url: str) -> np.ndarray:
    """A data: address of a PNG as RGBA bytes [height, width, 4]."""
    data = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def json_of(path: Any) -> Any:
    return json.loads(path.read_text())
