"""The page on a toy model, served by this process so that tests can count and slow its steps."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.routes
import pytest
import torch
from page_driver import BROWSER, CHROMIUM, TIMEOUT_MS, PageDriver
from playwright.sync_api import Browser
from tiny import HEIGHT, NUM_VIEWS, WIDTH, save_tiny_few_step, tiny_pipeline

from videorfsplat.generation.preview import render_frames
from videorfsplat.generation.scene import Scene
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.geometry.gaussians import Gaussians
from videorfsplat.geometry.trajectories import trajectory
from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline
from videorfsplat.ui import page_events
from videorfsplat.ui.example_scenes import find_example_scenes
from videorfsplat.ui.model_host import ModelHost
from videorfsplat.ui.packed_scene import pack_scene
from videorfsplat.ui.page import serve
from videorfsplat.ui.page_events import PageEvents
from videorfsplat.ui.request_files import RequestFiles
from videorfsplat.ui.sampling import sample


def write_example(pipeline: VideoRFSplatPipeline, folder: Path, target: Path) -> None:
    """A scene as the toy model makes it, but with something to see: coloured balls."""
    folder.mkdir()
    list(sample(pipeline, GenerationSettings("a red house", num_inference_steps=2), folder))
    generator = torch.Generator().manual_seed(0)
    count = 400
    means = torch.randn(count, 3, generator=generator) * 0.25 + torch.tensor([0.0, 0.0, 1.0])
    gaussians = Gaussians(
        means=means,
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(count, 1),
        scales=torch.full((count, 3), 0.06),
        opacities=torch.full((count,), 0.9),
        sh=3 * torch.rand(count, 1, 3, generator=generator) - 1.5,
    )
    cameras = trajectory("orbit_left", num_views=NUM_VIEWS, width=WIDTH, height=HEIGHT)
    frames = render_frames(gaussians, cameras)
    replace(Scene.load(folder), gaussians=gaussians, cameras=cameras, frames=frames).save(folder)
    pack_scene(folder, target)


class Site:
    """The served page and the model behind it, whose steps tests can count and hold.

    Nothing here depends on how fast the machine is: a test holds the model in the middle of a
    step, does what it is about, and lets go.
    """

    def __init__(self, address: str, events: PageEvents, page: gr.Blocks) -> None:
        self.address, self.events, self.page = address, events, page
        self.steps = 0
        """Begun so far."""
        self.prompts: list[str] = []
        """Of the runs begun so far."""
        self.running = 0
        """Runs that are neither finished nor closed."""
        self.cancels = 0
        """Requests to cancel that have reached the server."""
        self._free_steps = math.inf
        self._passing = threading.Condition()
        self.reset()
        default = events.host.pipeline()
        for pipeline in (default, events.host.run(events.host.few_step_pipeline)):
            transformer = pipeline.transformer
            transformer.forward = self._held(transformer.forward)
        self._sample, events.sample = events.sample, self._counted_sample
        self._cancel, gradio.routes.cancel_tasks = gradio.routes.cancel_tasks, self._counted_cancel

    def reset(self) -> None:
        self.steps = self.cancels = 0
        self.prompts = []
        self.let_go()

    def hold(self, after: int = 0) -> None:
        """Let so many more steps pass; those after them begin, but do not end before `let_go`."""
        self._free_steps = self.steps + after

    @property
    def is_held(self) -> bool:
        """Whether the model is in the middle of a step that does not end."""
        return self.steps > self._free_steps

    def let_go(self, steps: float = math.inf) -> None:
        """Let so many more steps end."""
        with self._passing:
            self._free_steps += steps
            self._passing.notify_all()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while not is_so():
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.02)

    def _held(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """The transformer's forward, which the site counts and holds."""

        def held_forward(*args: Any, **kwargs: Any) -> Any:
            self.steps += 1
            step = self.steps
            with self._passing:
                self._passing.wait_for(lambda: step <= self._free_steps)
            return forward(*args, **kwargs)

        return held_forward

    def _counted_sample(self, settings: GenerationSettings, *others: Any) -> Iterator[Any]:
        self.prompts.append(settings.prompt)
        self.running += 1
        try:
            yield from self._sample(settings, *others)
        finally:
            self.running -= 1

    async def _counted_cancel(self, task_ids: set[str]) -> list[str]:
        self.cancels += 1
        return await self._cancel(task_ids)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no browser at {CHROMIUM}; set CHROMIUM to one")
    return BROWSER


@pytest.fixture(scope="session")
def served(tmp_path_factory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("page")
    os.environ["GRADIO_TEMP_DIR"] = str(root / "uploads")
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(root / "model")
    save_tiny_few_step(root / "model")
    write_example(pipeline, root / "made", root / "examples" / "house")
    events = PageEvents(
        ModelHost(str(root / "model"), "cpu"),
        RequestFiles(root / "requests", uploads=root / "uploads"),
        find_example_scenes(root / "examples"),
    )
    # Tests look at single steps.
    page_events.UPDATE_SECONDS = 0
    page = serve(events, root / "examples")
    yield Site(page.local_url.rstrip("/"), events, page)
    page.close()


@pytest.fixture
def site(served: Site) -> Iterator[Site]:
    served.reset()
    yield served
    served.let_go()
    # A run that a failed test left behind must not count in the next one.
    served.wait_until(lambda: served.running == 0)


@pytest.fixture
def visit(browser: Browser, site: Site, tmp_path: Path) -> Iterator[Callable[..., PageDriver]]:
    """Opens the page: `visit(query, **options of the browser context)`. Afterwards there was no
    error in any console and no request to another host, and pytest's temporary folder of the test
    has a picture of what each visitor saw last."""
    visitors: list[PageDriver] = []

    def open_page(query: str = "", **options: Any) -> PageDriver:
        visitors.append(PageDriver(browser, site.address, query, **options))
        return visitors[-1]

    yield open_page
    for number, visitor in enumerate(visitors, 1):
        visitor.page.screenshot(path=tmp_path / f"visitor-{number}.png")
        visitor.check()
        visitor.context.close()
