"""A visitor of the page."""

import base64
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Locator, Request, expect

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
"""Debian's Chromium; Playwright's own cannot be downloaded everywhere."""

BROWSER: dict[str, Any] = {
    "executable_path": CHROMIUM,
    "args": [
        # WebGL without a graphics card, and root as in a container.
        *("--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--no-sandbox"),
        # Debian switches this on; where the card is simulated it takes most of the time.
        "--disable-gpu-rasterization",
    ],
}

TIMEOUT_MS = 180_000
"""A run of the toy model takes two seconds on two idle cores; this is for very busy ones. Every
wait is for something to happen, so only a test that fails takes that long."""

_HARMLESS = (
    # Canvases, where the browser draws without a graphics card
    "willReadFrequently",
    "GPU stall due to ReadPixels",
    # Gradio's client, when the progress of an upload ends
    "Method not implemented.",
    # The browser, when Gradio refuses a field
    "the server responded with a status of 422",
)

_NOTE_MESSAGES = """
window.viewerMessages = [];
document.addEventListener('viewer-message', ({ detail }) => window.viewerMessages.push(detail));
"""


class PageDriver:
    def __init__(self, browser: Browser, address: str, query: str = "", **options: Any) -> None:
        # The first flight would keep the viewer from coming to rest.
        defaults = {"accept_downloads": True, "reduced_motion": "reduce"}
        options = {"viewport": {"width": 1000, "height": 720}, **defaults, **options}
        self.address = address
        self.context = browser.new_context(**options)
        self.context.add_init_script(_NOTE_MESSAGES)
        self.page = self.context.new_page()
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.set_default_timeout(TIMEOUT_MS)
        expect.set_options(timeout=TIMEOUT_MS)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._note_request)
        self.page.goto(f"{address}/{query}")
        self.wait_until_open()

    def wait_until_open(self) -> None:
        """The example or the settings of the address are there, and the model is loaded."""
        expect(self.page.locator(".model-line[data-state=ready]")).to_be_attached()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def status(self) -> Locator:
        return self.page.locator("#status .status-card")

    @property
    def timetable(self) -> Locator:
        self.open_advanced()
        return self.page.locator("#settings svg.timetable")

    @property
    def sentence(self) -> Locator:
        return self.page.locator("#sentence textarea")

    def write(self, prompt: str) -> None:
        self.sentence.fill(prompt)

    def open_advanced(self) -> None:
        if not self.page.get_by_label("Seed", exact=True).is_visible():
            self.page.get_by_role("button", name="Advanced").click()
            expect(self.page.get_by_label("Seed", exact=True)).to_be_visible()

    def set_slider(self, label: str, value: float) -> None:
        self.open_advanced()
        field = self.page.locator("#settings").get_by_label(f"number input for {label}")
        field.fill(str(value))
        field.press("Tab")

    def begin(self, prompt: str = "a red house", steps: int = 60) -> None:
        """Ask for a scene of so many steps."""
        self.write(prompt)
        self.page.get_by_label("Full", exact=True).check(force=True)
        self.set_slider("Steps", steps)
        self.forget()
        self.button("Generate").click()

    def generate(self, prompt: str = "a red house", steps: int = 3) -> None:
        """Generate a scene and wait until it is on screen."""
        self.begin(prompt, steps)
        expect(self.status).to_contain_text("Made in")
        self.wait_for_message("loaded")

    def forget(self) -> None:
        self.page.evaluate("() => { window.viewerMessages = []; }")

    def messages(self, type: str, viewer: str = "scene") -> list[dict[str, Any]]:
        found = self.page.evaluate("() => window.viewerMessages")
        return [
            m["message"] for m in found if (m["viewer"], m["message"]["type"]) == (viewer, type)
        ]

    def wait_for_message(self, type: str, viewer: str = "scene", **fields: Any) -> dict[str, Any]:
        """The first message of this type, sent or to come, whose fields have these values."""
        script = """([viewer, wanted]) => window.viewerMessages.find((detail) =>
            detail.viewer === viewer && Object.entries(wanted).every(
                ([name, value]) => detail.message[name] === value))"""
        wanted = {"type": type, **fields}
        return self.page.wait_for_function(script, arg=[viewer, wanted]).json_value()["message"]

    def wait_for_rest(self, viewer: str = "scene") -> None:
        """The viewer has reported a pose, and reports no other while it draws on."""
        script = """([viewer, title]) => new Promise((resolve) => {
            const { contentWindow } = document.querySelector(`iframe[title="${title}"]`);
            const poses = () => window.viewerMessages.filter((detail) =>
                detail.viewer === viewer && detail.message.type === 'pose').length;
            let [count, still] = [poses(), 0];
            const look = () => {
                still = poses() === count ? still + 1 : 0;
                count = poses();
                if (count && still > 10) resolve();
                else contentWindow.requestAnimationFrame(look);
            };
            look();
        })"""
        title = {"scene": "3D scene", "left": "3D scene, A", "right": "3D scene, B"}[viewer]
        self.page.evaluate(script, [viewer, title])

    def send(self, message: dict[str, Any]) -> None:
        """Tell the viewer of the scene something."""
        script = "(frame, message) => frame.contentWindow.postMessage(message, location.origin)"
        self.page.locator("iframe.splat-frame").first.evaluate(script, message)

    def capture(self, camera: int, width: int, height: int) -> np.ndarray:
        """What the viewer draws from a camera, [height, width, 4]."""
        message = {
            "v": 1,
            "type": "capture",
            "id": f"camera {camera}",
            "t": camera,
            "width": width,
            "height": height,
        }
        self.send(message)
        url = self.wait_for_message("screenshot", id=f"camera {camera}")["image"]
        data = base64.b64decode(url.removeprefix("data:image/png;base64,"))
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))

    def download(self, file_name: str, folder: Path) -> Path:
        """Ask for a file of the scene, which the page saves as soon as it is made."""
        file = self.page.locator(f"#downloads [data-file='{file_name}']")
        if not file.is_visible():
            self.page.get_by_text("More formats").click()
        with self.page.expect_download() as waiting:
            file.click()
        path = folder / waiting.value.suggested_filename
        waiting.value.save_as(path)
        return path

    def check(self) -> None:
        """What must hold at the end of every visit."""
        assert not self.problems, self.problems
        allowed = (self.address, "data:", f"blob:{self.address}")
        elsewhere = [url for url in self.requests if not url.startswith(allowed)]
        assert not elsewhere, elsewhere

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(w in message.text for w in _HARMLESS):
            self.problems.append(message.text)

    def _note_request(self, request: Request) -> None:
        self.requests.append(request.url)
