"""The page: a sentence becomes a scene to walk through and to download. Layout, wired to events."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

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
from videorfsplat.ui.theme import page_css, page_header, page_theme
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

HEAD_START_SECONDS = 10

# Handlers of the page have threads of their own only if there are not 40, Gradio's default: then
# they share those that serve files and the page itself.
MAX_THREADS = 32

# Gradio looks for events a thousand times a second, and the model pays for it.
QUEUE_POLL_SECONDS = 0.02


def build_page(events: PageEvents) -> gr.Blocks:
    """The page: layout, wired to its events."""
    with gr.Blocks(title="VideoRFSplat", fill_width=True, analytics_enabled=False) as page:
        # First, because names of endpoints go to whoever comes first.
        add_endpoints(events, SAMPLER)
        gr.HTML(page_header(), apply_default_css=False)
        with gr.Row(elem_id="page"):
            with gr.Column(elem_id="ask", scale=0, min_width=0):
                ask = ask_column(events.host.has_few_step)
            with gr.Column(elem_id="stage", min_width=0), gr.Tabs():
                with gr.Tab("Scene"):
                    scene = scene_tab(list(events.examples.values()))
                with gr.Tab("Compare") as tab:
                    pair = compare_tab()
        activity = [ask.status, ask.generate, pair.compare, ask.stop]
        result = [ask.timetable, scene.viewer, scene.frames, scene.frustums]
        result += [scene.record, scene.downloads, scene.scene, scene.film, scene.link]
        lists = _wire_opening(page, events, ask, scene, result)
        _wire_fields(events, ask, pair, tab)
        lists += _wire_scene(events, ask, scene)
        runs = [
            _wire_generation(events, ask, scene, activity, result),
            _wire_comparison(events, ask, pair, activity),
        ]
        lists += _wire_end(events, ask, scene, runs, activity, result)
        # Files of an earlier scene are not to be made beside a run, nor listed under it.
        gr.on([ask.generate.click, pair.compare.click], None, cancels=lists, **AT_ONCE)
    return page


def _wire_opening(
    page: gr.Blocks,
    events: PageEvents,
    ask: SimpleNamespace,
    scene: SimpleNamespace,
    result: list[Any],
) -> list[Any]:
    """Wire what opens a scene; returns the events that list its files."""
    filled = [ask.status, *ask.form, *result]
    opened = page.load(events.open_page, None, filled, **AT_ONCE)
    picked = scene.examples.pick(events.open_example, None, filled, **AT_ONCE)
    # Loading the model takes the processor from the page, so the page comes first.
    described = opened.then(events.describe_model, None, ask.model, **QUEUED)
    described.then(events.mark_words, ask.prompt, ask.unknown, **AT_ONCE)
    opened.then(events.draw_timetable, ask.schedule, ask.timetable, **AT_ONCE)
    return [_list_files_after(event.success, events, scene) for event in (described, picked)]


def _list_files_after(trigger: Any, events: PageEvents, scene: SimpleNamespace) -> Any:
    inputs = [scene.scene, scene.axes]
    return trigger(
        events.list_downloads, inputs, scene.downloads, trigger_mode="always_last", **FILES
    )


def _wire_fields(
    events: PageEvents, ask: SimpleNamespace, pair: SimpleNamespace, tab: gr.Tab
) -> None:
    ask.prompt.change(
        events.mark_words, ask.prompt, ask.unknown, trigger_mode="always_last", **AT_ONCE
    )
    # Only by hand: a scene that is opened brings settings of its own.
    scales = [*pair.variants[1:4], *pair.variants[5:8]]
    ask.few_step.input(events.take_sampling, ask.few_step, [*ask.sampling, *scales], **AT_ONCE)
    for field in ask.schedule:
        field.change(events.draw_timetable, ask.schedule, ask.timetable, **TYPED)
    given = [ask.camera_source, ask.preset, ask.camera_file]
    ask.camera_source.change(
        events.show_camera_fields,
        ask.camera_source,
        [ask.preset, ask.camera_file, ask.given],
        **AT_ONCE,
    )
    for field in given:
        field.change(events.draw_given_cameras, given, [ask.given, ask.given_note], **AT_ONCE)
    for side, slider in zip(pair.sides, pair.variants[::4], strict=True):
        inputs = [ask.num_inference_steps, slider, ask.camera_source]
        gr.on(
            [tab.select, *(part.change for part in inputs)],
            events.draw_timetable,
            inputs,
            side.timetable,
            **TYPED,
        )


def _wire_scene(events: PageEvents, ask: SimpleNamespace, scene: SimpleNamespace) -> list[Any]:
    """Wire what a scene can be had as; returns the event that lists its files."""
    scene.make_film.click(
        events.make_film, [scene.scene, scene.path], scene.film, api_visibility="private"
    )
    scene.share.click(events.share, [scene.scene, *ask.form], scene.link, **AT_ONCE)
    return [_list_files_after(scene.axes.input, events, scene)]


def _wire_generation(
    events: PageEvents,
    ask: SimpleNamespace,
    scene: SimpleNamespace,
    activity: list[Any],
    result: list[Any],
) -> Any:
    """Wire sentence → scene; returns the run."""
    chosen = gr.State(None)
    # The button is off while a run goes on, and so is this key.
    ask.prompt.submit(None, js="() => document.getElementById('generate').click()")
    begun = ask.generate.click(
        events.begin,
        [*ask.form, scene.scene, scene.previous],
        [chosen, scene.previous, ask.is_stopped, ask.seed, *activity, *result],
        validator=events.check_fields,
        **QUEUED,
    )
    return begun.success(
        events.generate, chosen, [*activity, *result], show_progress_on=ask.status, **RUN
    )


def _wire_comparison(
    events: PageEvents, ask: SimpleNamespace, pair: SimpleNamespace, activity: list[Any]
) -> Any:
    """Wire one sentence → two scenes; returns the run."""
    chosen = gr.State(None)
    sides = [part for s in pair.sides for part in (s.timetable, s.viewer, s.frames)]
    begun = pair.compare.click(
        events.begin_comparison,
        [*ask.form, *pair.variants],
        [chosen, ask.is_stopped, ask.seed, *activity, *sides],
        validator=events.check_fields,
        **QUEUED,
    )
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
) -> list[Any]:
    """Wire what comes after a run, or stops it; returns the events that list a scene's files."""
    names, outputs = [scene.scene, scene.previous], [*activity, *result]
    stopping = ask.stop.click(
        events.stop, None, [ask.is_stopped, *activity], cancels=runs, **AT_ONCE
    )
    ends = [stopping.then(events.settle, names, outputs, **AT_ONCE)]
    failed = [ask.status, ask.is_stopped, *names]
    ends += [run.failure(events.explain, failed, outputs, **AT_ONCE) for run in runs]
    return [_list_files_after(end.success, events, scene) for end in [runs[0], *ends]]


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
