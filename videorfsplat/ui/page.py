"""The page: a sentence becomes a scene to walk through and to download. Layout, wired to events."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.routing import Route

from videorfsplat.formats.viewer_folder import VIEWER_FOLDER
from videorfsplat.ui.admission import MAX_SESSIONS, RUNS_LINE, Line
from videorfsplat.ui.api import add_endpoints
from videorfsplat.ui.example_scenes import find_example_scenes
from videorfsplat.ui.given_cameras import MAX_UPLOAD_BYTES
from videorfsplat.ui.layout import ask_column, compare_tab, scene_tab
from videorfsplat.ui.model_host import ModelHost
from videorfsplat.ui.page_events import PageEvents
from videorfsplat.ui.page_files import SERVED_FOLDERS, read_asset
from videorfsplat.ui.request_files import RequestFiles
from videorfsplat.ui.share_link import PAGE_PATH
from videorfsplat.ui.theme import page_css, page_head, page_header, page_theme
from videorfsplat.ui.web_policy import GuardedApp, WebPolicy, bound_sockets
from videorfsplat.ui.zero_gpu import on_zero_gpu

# One run at a time, whichever tab or client asks for it.
SAMPLER: dict[str, Any] = {"concurrency_id": RUNS_LINE, "concurrency_limit": 1}
HIDDEN: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE: dict[str, Any] = {"queue": False, **HIDDEN}
# While a number is being typed a slider has none, which Gradio would call an error.
TYPED: dict[str, Any] = {"trigger_mode": "always_last", "preprocess": False, **AT_ONCE}
# Validators run in the queue only; nobody waits in this one.
QUEUED: dict[str, Any] = {"concurrency_limit": None, **HIDDEN}
FILES: dict[str, Any] = {"concurrency_id": "files", "concurrency_limit": 2, **HIDDEN}
RUN: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private", **SAMPLER}

TITLE = "VideoRFSplat: text to 3D scenes"

HEAD_START_SECONDS = 10

# Handlers of the page have threads of their own only if there are not 40, Gradio's default: then
# they share those that serve files and the page itself.
MAX_THREADS = 32

# Gradio looks for events a thousand times a second, and the model pays for it.
QUEUE_POLL_SECONDS = 0.02


def build_page(events: PageEvents) -> gr.Blocks:
    """The page: layout, wired to its events."""
    examples = list(events.examples.values())
    with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False) as page:
        # First, because names of endpoints go to whoever comes first.
        add_endpoints(events, SAMPLER)
        gr.HTML(page_header(), apply_default_css=False)
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="ask", scale=0, min_width=0):
                ask = ask_column(events.host.has_few_step, events.host.attributes)
            with gr.Column(elem_id="stage", min_width=0), gr.Tabs(selected="scene") as tabs:
                with gr.Tab("Scene", id="scene"):
                    scene = scene_tab(examples)
                with gr.Tab("Compare", id="compare") as compare:
                    pair = compare_tab()
        activity = [ask.status, ask.generate, pair.compare, ask.stop]
        result = [ask.timetable, scene.viewer, scene.frames, scene.frustums, scene.record]
        result += [scene.downloads, scene.scene, scene.film, scene.link, ask.picks]
        _wire_opening(page, events, ask, scene, tabs, result)
        _wire_fields(events, ask, pair, compare)
        _wire_scene(events, ask, scene)
        runs = [
            _wire_generation(events, ask, scene, tabs, activity, result),
            _wire_comparison(events, ask, pair, activity),
        ]
        _wire_end(events, ask, scene, runs, activity, result)
    return page


def _wire_opening(
    page: gr.Blocks,
    events: PageEvents,
    ask: SimpleNamespace,
    scene: SimpleNamespace,
    tabs: gr.Tabs,
    result: list[Any],
) -> None:
    """Wire what opens a scene."""
    opened = page.load(events.open_page, None, [ask.status, *ask.form, *result], **AT_ONCE)
    shown = [ask.status, *result]
    scene.examples.pick(events.open_example, None, shown, **AT_ONCE)
    for strip in (scene.visit, ask.picks):
        strip.pick(events.open_kept, None, [tabs, *shown], **AT_ONCE)
    # Loading the model takes the processor from the page, so the page comes first.
    described = opened.then(events.describe_model, None, ask.model, **QUEUED)
    described.then(events.read_sentence, ask.prompt, ask.words, **AT_ONCE)
    opened.then(events.draw_timetable, ask.schedule, ask.timetable, **AT_ONCE)


def _wire_fields(
    events: PageEvents, ask: SimpleNamespace, pair: SimpleNamespace, tab: gr.Tab
) -> None:
    ask.prompt.change(
        events.read_sentence, ask.prompt, ask.words, trigger_mode="always_last", **AT_ONCE
    )
    for field in ask.schedule:
        field.change(events.draw_timetable, ask.schedule, ask.timetable, **TYPED)
    given = [ask.cameras, ask.camera_file]
    for field in given:
        field.change(events.draw_given_cameras, given, [ask.given, ask.given_note], **AT_ONCE)
    full = gr.State("full")
    for timetable, slider in zip(pair.timetables, pair.variants[::4], strict=True):
        inputs = [full, ask.num_inference_steps, slider, ask.cameras]
        gr.on(
            [tab.select, *(part.change for part in inputs[1:])],
            events.draw_timetable,
            inputs,
            timetable,
            **TYPED,
        )
    pair.pick.pick(events.compare_kept, None, [*pair.viewers, pair.figures], **AT_ONCE)


def _wire_scene(events: PageEvents, ask: SimpleNamespace, scene: SimpleNamespace) -> None:
    """Wire what a scene can be had as."""
    files = [scene.scene, scene.axes]
    scene.downloads.ask(events.make_download, files, scene.downloads, **FILES)
    scene.axes.input(events.list_downloads, files, scene.downloads, **AT_ONCE)
    scene.make_film.click(
        events.make_film,
        [scene.scene, scene.path],
        scene.film,
        show_progress_on=scene.film,
        api_visibility="private",
    )
    scene.link.ask(events.share, [scene.scene, *ask.form], scene.link, **AT_ONCE)
    scene.viewer.record(
        events.take_recorded_path, None, [ask.cameras, ask.camera_file, ask.given_note], **AT_ONCE
    )


def _wire_generation(
    events: PageEvents,
    ask: SimpleNamespace,
    scene: SimpleNamespace,
    tabs: gr.Tabs,
    activity: list[Any],
    result: list[Any],
) -> Any:
    """Wire sentence → scenes; returns the run."""
    chosen = gr.State(None)
    begun = ask.generate.click(
        events.begin,
        [*ask.form, scene.scene, scene.previous],
        [chosen, scene.previous, ask.is_stopped, ask.seed, tabs, *activity, *result],
        validator=events.check_fields,
        **QUEUED,
    )
    begun.failure(events.refuse, None, activity, **AT_ONCE)
    return begun.success(
        events.generate, chosen, [*activity, *result], show_progress_on=ask.status, **RUN
    )


def _wire_comparison(
    events: PageEvents, ask: SimpleNamespace, pair: SimpleNamespace, activity: list[Any]
) -> Any:
    """Wire one sentence → two scenes; returns the run."""
    chosen = gr.State(None)
    sides = [*pair.timetables, *pair.viewers, pair.figures]
    begun = pair.compare.click(
        events.begin_comparison,
        [*ask.form, *pair.variants],
        [chosen, ask.is_stopped, ask.seed, *activity, *sides],
        validator=events.check_fields,
        **QUEUED,
    )
    begun.failure(events.refuse, None, activity, **AT_ONCE)
    return begun.success(
        events.compare, chosen, [*activity, *sides], show_progress_on=ask.status, **RUN
    )


def _wire_end(
    events: PageEvents,
    ask: SimpleNamespace,
    scene: SimpleNamespace,
    runs: list[Any],
    activity: list[Any],
    result: list[Any],
) -> None:
    """Wire what comes after a run, or stops it."""
    names, outputs = [scene.scene, scene.previous], [*activity, *result]
    stopping = ask.stop.click(
        events.stop, None, [ask.is_stopped, *activity], cancels=runs, **AT_ONCE
    )
    stopping.then(events.settle, names, outputs, **AT_ONCE)
    failed = [ask.status, ask.is_stopped, *names]
    for run in runs:
        run.failure(events.explain, failed, outputs, **AT_ONCE)


def serve(
    events: PageEvents,
    examples_folder: Path | None,
    port: int | None = None,
    policy: WebPolicy | None = None,
) -> gr.Blocks:
    """Build the page and serve it from a thread of its own.

    Args:
        events: what the page does.
        examples_folder: scenes made earlier, to be served.
        port: by default the first free one from 7860.
        policy: what is answered; by default as a page at home, or the Space it runs in, does.
    """
    policy = policy or WebPolicy.of_environment()
    folders = {"viewer": VIEWER_FOLDER, "results": events.files.root, "examples": examples_folder}
    served = {name: folder for name, folder in folders.items() if folder is not None}
    for name, folder in {**served, "uploads": Path(get_upload_folder())}.items():
        SERVED_FOLDERS.add(name, folder)
    page = build_page(events)
    gr.set_static_paths(list(served.values()))
    page.queue(api_open=False)
    page._queue = line = Line(page)
    line.sleep_when_free = QUEUE_POLL_SECONDS
    page.launch(
        server_port=port,
        max_threads=MAX_THREADS,
        state_session_capacity=MAX_SESSIONS,
        enable_monitoring=False,
        ssr_mode=False,
        theme=page_theme(),
        css=page_css(),
        js=read_asset("page.js"),
        head=page_head(),
        max_file_size=MAX_UPLOAD_BYTES,
        mcp_server=True,
        # Gradio gives up if its own page is not there within three seconds, as on a busy machine.
        _frontend=False,
        # What a visitor can do something about is said in words all the same.
        show_error=False,
        prevent_thread_lock=True,
    )
    stack = page.app.middleware_stack
    assert stack is not None, "it is built when the server starts"
    page.app.middleware_stack = GuardedApp(
        stack, policy, line.listening, events.files.make_room_for_upload
    )
    bound_sockets(page.server, policy)
    # Before Gradio's own, of which the last takes every path.
    page.app.router.routes.insert(0, Route(PAGE_PATH, events.shared_page))
    return page


def open_page(
    model: str,
    device: str,
    port: int | None,
    cache: Path,
    examples_folder: Path | None,
    hosts: Sequence[str] = (),
) -> None:
    """Serve the page until it is interrupted.

    Args:
        model: `mini`, a saved pipeline or a hub id.
        device: torch's name of it, or "auto".
        port: of this machine; `None` is the first free one from 7860.
        cache: folder of uploads and results.
        examples_folder: scenes made earlier; the page opens with the first one.
        hosts: names that the page is reached under besides those of this machine.

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if the cache cannot be written to, or an example is damaged.
    """
    # Where Gradio keeps uploads; read when the page is built.
    uploads = cache / "uploads"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    host = ModelHost(model, device)
    examples = [] if examples_folder is None else find_example_scenes(examples_folder)
    files = RequestFiles(cache / "requests", uploads=uploads)
    events = PageEvents(host, files, examples)
    if on_zero_gpu():
        host.pipeline()
        if host.has_few_step:
            host.run(host.few_step_pipeline)
    page = serve(events, examples_folder, port, WebPolicy.of_environment(hosts))
    # Visitors start it as soon as their page is open; this is for when nobody comes.
    Timer(HEAD_START_SECONDS, host.start).start()
    page.block_thread()
