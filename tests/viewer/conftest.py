"""A browser, a web site with the viewer and test scenes on it, and a page that holds the viewer."""

import functools
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from viewer_page import ViewerPage
from viewer_scenes import HEIGHT, WIDTH, axes_scene, cloud_scene, tilted_cameras, upright_cameras

from videorfsplat.formats.viewer_folder import VIEWER_FOLDER
from videorfsplat.formats.ply import save_ply
from videorfsplat.formats.splat_formats import save_splats
from videorfsplat.formats.transforms_json import save_transforms

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
"""Debian's Chromium; Playwright's own cannot be downloaded everywhere."""

HOST_PAGE = f"""<!doctype html>
<html lang="en">
<head><title>Page around the viewer</title><link rel="icon" href="data:," /></head>
<body style="margin: 0; background: rgb(0, 255, 0)">
<iframe id="viewer" title="Viewer" src="viewer/index.html" width="{WIDTH}" height="{HEIGHT}"
    style="border: 0; display: block"></iframe>
<input id="outside" aria-label="outside" />
<div style="height: 2000px"></div>
<script>
    window.messages = [];
    const frame = document.getElementById('viewer');
    window.addEventListener('message', (event) => {{
        const ours = event.source === frame.contentWindow && event.origin === location.origin;
        if (ours) window.messages.push(event.data);
    }});
    window.send = (message) => frame.contentWindow.postMessage(message, location.origin);
</script>
</body>
</html>
"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Files, without a line on the terminal for each."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}; set CHROMIUM to one")
    # WebGL without a graphics card, and root as in a container.
    switches = ["--enable-unsafe-swiftshader", "--use-angle=swiftshader", "--no-sandbox"]
    # Debian switches this on; where the card is simulated it takes most of the time.
    switches.append("--disable-gpu-rasterization")
    return {"executable_path": CHROMIUM, "args": switches}


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the viewer, a page around it, scenes, cameras, and files that are none."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "viewer").symlink_to(VIEWER_FOLDER)
    (folder / "host.html").write_text(HOST_PAGE)
    save_ply(axes_scene(), folder / "axes.ply")
    save_transforms(upright_cameras(1), folder / "axes.json")
    save_ply(cloud_scene(), folder / "cloud.ply")
    save_splats(cloud_scene(), folder / "cloud.compressed.ply")
    cameras = tilted_cameras()
    save_transforms(cameras, folder / "cloud.json")
    (folder / "frames").mkdir()
    for index in range(cameras.num_views):
        magenta = np.full((cameras.height, cameras.width, 3), (255, 0, 255), dtype=np.uint8)
        Image.fromarray(magenta).save(folder / f"frames/{index:03d}.png")
    (folder / "page.ply").write_text("<!doctype html><html></html>")
    (folder / "cut.ply").write_bytes((folder / "cloud.ply").read_bytes()[:5000])
    (folder / "broken.json").write_text(json.dumps({"frames": [{}]}))
    return folder


@pytest.fixture(scope="session")
def site(site_folder: Path) -> Iterator[str]:
    """The address of the folder on a local server."""
    handler = functools.partial(QuietHandler, directory=str(site_folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def viewer(browser: Browser, site: str) -> Iterator[ViewerPage]:
    """A fresh page around the viewer. Afterwards: no error, no request elsewhere, and every
    message of the viewer fits the protocol."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT + 60})
    page = context.new_page()
    viewer_page = ViewerPage(page, site)
    yield viewer_page
    viewer_page.check()
    context.close()


@pytest.fixture
def open_page(browser: Browser, site: str) -> Iterator[Any]:
    """Opens the viewer by itself: `open_page(query, **options of the browser context)`."""
    contexts = []

    def open_(query: str = "", **options: Any) -> Page:
        options.setdefault("viewport", {"width": WIDTH, "height": HEIGHT})
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.goto(f"{site}/viewer/index.html{query}")
        return page

    yield open_
    for context in contexts:
        context.close()
