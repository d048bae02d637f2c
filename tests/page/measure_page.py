"""How fast the page is: `python tests/page/measure_page.py` ends with a line of JSON.

- `usable`: seconds from `python app.py` until its Generate button can be pressed in a browser;
- `ready`: until the model is loaded as well;
- `first_picture`: seconds from asking the viewer for a scene of 131,072 Gaussians to its picture;
- `first_preview`: seconds from a click on Generate to the first predicted frames on screen;
- `bare`, `on_page`: seconds of the same generation as a call of the pipeline, and from the click
  to the finished scene, in turns; `overhead`: by how much the second is longer;
- `bare_alone`, `served`, `overhead_served`: the same without a browser, for a visitor elsewhere, of
  whom this machine sees the requests only. Here the browser draws without a graphics card, on the
  processor that computes.

Runs of page and pipeline alternate, so that the ratios mean something on a shared machine.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import httpx
from page_driver import BROWSER, PageDriver
from playwright.sync_api import Browser, expect, sync_playwright

from videorfsplat.generation.settings import GenerationSettings

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "viewer"))

NUM_GAUSSIANS = 8 * 128 * 128
PROMPT = "a red house with a blue roof on a green meadow, the camera orbits to the left"


@contextmanager
def page_process(model: str, port: int, cache: Path) -> Iterator[str]:
    command = [sys.executable, "app.py", "--model", model, "--port", str(port)]
    process = subprocess.Popen([*command, "--cache", str(cache)], cwd=ROOT)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def measure_start(browser: Browser, address: str, start: float) -> float:
    wait_for_server(address)
    page = browser.new_page()
    page.set_default_timeout(600_000)
    page.goto(address)
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_enabled(timeout=600_000)
    seconds = time.perf_counter() - start
    page.close()
    return seconds


def wait_for_server(address: str) -> None:
    """Asked by the browser instead, every refusal would cost a page that says so."""
    while True:
        try:
            urlopen(address).close()
            return
        except URLError:
            time.sleep(0.1)


def measure_first_picture(visitor: PageDriver, folder: Path) -> float:
    from viewer_scenes import cloud_scene

    from videorfsplat.formats.splat_formats import save_splats

    folder.mkdir(parents=True)
    save_splats(cloud_scene(NUM_GAUSSIANS), folder / "large.compressed.ply")
    content = f"{visitor.address}/gradio_api/file={folder / 'large.compressed.ply'}"
    visitor.send({"v": 1, "type": "load", "content": content, "cameras": None})
    return visitor.wait_for_message("loaded", splats=NUM_GAUSSIANS)["seconds"]


# In the page, where waiting costs nothing: Playwright's `expect` asks again and again, and each
# time describes the page.
GENERATE = """() => new Promise((done) => {
    const start = performance.now();
    let begun = false, first = null;
    const observer = new MutationObserver(() => {
        const seconds = (performance.now() - start) / 1000;
        const said = document.querySelector('#status').textContent;
        begun ||= said.includes('In line');
        if (begun && document.querySelector(".frame-strip img[src^='data:']")) first ??= seconds;
        if (begun && said.includes('Made in')) {
            observer.disconnect();
            done([first, seconds]);
        }
    });
    observer.observe(document.body, { childList: true, characterData: true, subtree: true });
    document.getElementById('generate').click();
})"""


def measure_generation(visitor: PageDriver, steps: int) -> tuple[float, float]:
    """Seconds to the first preview and to the scene."""
    visitor.write(PROMPT)
    visitor.set_slider("Steps", steps)
    first, whole = visitor.page.evaluate(GENERATE)
    # Files are made after the scene; they are not to run beside the next measurement.
    expect(visitor.page.locator("#downloads a[download='scene.json']")).to_be_visible()
    visitor.wait_for_rest()
    return first, whole


def measure_served(client: httpx.Client, steps: int) -> float:
    """Seconds until a program has the scene. Gradio's own client is not it: it takes an eighth of
    the processor for itself."""
    start = time.perf_counter()
    address = "/gradio_api/call/v2/generate"
    asked = client.post(address, json={"prompt": PROMPT, "num_inference_steps": steps})
    with client.stream("GET", f"{address}/{asked.json()['event_id']}") as answer:
        lines = deque(answer.iter_lines(), maxlen=4)
    assert "event: complete" in lines, lines
    return time.perf_counter() - start


def measure(model: str, steps: int, runs: int, port: int, cache: Path) -> dict[str, Any]:
    with sync_playwright() as playwright, page_process(model, port, cache) as address:
        start = time.perf_counter()
        browser = playwright.chromium.launch(**BROWSER)
        usable = measure_start(browser, address, start)
        visitor = PageDriver(browser, address)
        ready = time.perf_counter() - start
        first_picture = measure_first_picture(visitor, cache / "requests" / "large")
        print(f"usable {usable:.1f}, ready {ready:.1f}, first picture {first_picture:.1f}")
        bare_run = prepare_bare(model, steps)
        bare, previews, on_page = [], [], []
        for _ in range(runs):
            bare.append(bare_run())
            first, whole = measure_generation(visitor, steps)
            previews.append(first)
            on_page.append(whole)
            print(f"bare {bare[-1]:.1f}, first preview {first:.1f}, on the page {whole:.1f}")
        browser.close()
        client = httpx.Client(base_url=address, timeout=None)
        bare_alone, served = [], []
        for _ in range(runs):
            bare_alone.append(bare_run())
            served.append(measure_served(client, steps))
            print(f"bare {bare_alone[-1]:.1f}, served {served[-1]:.1f}")
    return {
        "usable": usable,
        "ready": ready,
        "first_picture": first_picture,
        "first_preview": previews,
        "bare": bare,
        "on_page": on_page,
        "overhead": median(on_page) / median(bare) - 1,
        "bare_alone": bare_alone,
        "served": served,
        "overhead_served": median(served) / median(bare_alone) - 1,
    }


def prepare_bare(model: str, steps: int) -> Callable[[], float]:
    """What measures a call of the pipeline; its first run, with the libraries' own, is over."""
    from videorfsplat.generation.generate import stream_scene
    from videorfsplat.generation.loading import load_pipeline

    pipeline = load_pipeline(model)
    pipeline.set_progress_bar_config(disable=True)
    settings = GenerationSettings(PROMPT, num_inference_steps=steps, model=model)

    def run() -> float:
        start = time.perf_counter()
        deque(stream_scene(pipeline, settings), maxlen=0)
        return time.perf_counter() - start

    run()
    return run


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="mini")
    parser.add_argument("--steps", type=int, default=GenerationSettings.num_inference_steps)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--port", type=int, default=7899)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(args.model, args.steps, args.runs, args.port, Path(folder))))


if __name__ == "__main__":
    main()
