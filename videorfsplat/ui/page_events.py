"""What the page does when something happens on it. Layout and wiring are in `page.py`.

The heavy modules are imported where they are first needed, so that the page opens before them.
"""

import asyncio
import html
import json
import logging
import math
import os
import shutil
import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, Literal
from urllib.parse import quote, urlencode

import gradio as gr
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from videorfsplat.generation.checkpoint import few_step_sampling
from videorfsplat.generation.settings import GenerationSettings
from videorfsplat.language.limits import MAX_PROMPT_CHARACTERS
from videorfsplat.ui import page_settings, scene_folder
from videorfsplat.ui.example_scenes import ExampleScene
from videorfsplat.ui.given_cameras import FILE_TRAJECTORY, load_given_cameras
from videorfsplat.ui.model_host import ModelHost
from videorfsplat.ui.ongoing_runs import OngoingRuns
from videorfsplat.ui.page_files import file_url
from videorfsplat.ui.page_settings import GENERATED, Fields, Quality, Variant, seeds_of
from videorfsplat.ui.page_values import SKIP, Activity, Result, resting, stopping, working
from videorfsplat.ui.plots import frustum_plot, timetable_svg
from videorfsplat.ui.request_files import RequestFiles
from videorfsplat.ui.run_status import (
    SamplingStep,
    format_seconds,
    message_card,
    progress_card,
)
from videorfsplat.ui.scene_folder import frame_strip
from videorfsplat.ui.sentence import words_note
from videorfsplat.ui.share_link import (
    SCENE_KEY,
    embed_code,
    kept_until,
    scene_address,
    scene_page,
    settings_from_query,
    share_buttons,
    share_panel,
    share_query,
)
from videorfsplat.ui.splat_viewer import show_cameras_messages, show_scene_messages
from videorfsplat.ui.viewer_protocol import check_message
from videorfsplat.ui.words_for_errors import errors_in_words
from videorfsplat.ui.zero_gpu import gpu_seconds, on_zero_gpu, wait_in_words, with_gpu

logger = logging.getLogger(__name__)

MAX_RECORDED_CAMERAS = 1000
"""Of a path flown in the viewer."""

# Of cameras left out: what is wrong with one is mostly wrong with the others.
_MOST_REASONS = 3

UPDATE_SECONDS = 0.6
"""Steps that follow each other faster than this are not all shown."""

SETTLE_SECONDS = 60.0
"""Until a stopped run is taken for ended; a step of the largest model is shorter."""


class PageEvents:
    """The handlers of one page.

    Args:
        host: the model.
        files: where results go.
        examples: scenes made earlier.
    """

    def __init__(
        self, host: ModelHost, files: RequestFiles, examples: Sequence[ExampleScene] = ()
    ) -> None:
        self.host, self.files = host, files
        self.examples = {example.folder.name: example for example in examples}
        self.runs = OngoingRuns(host.after_work)
        self._copies: dict[str, str] = {}

        def sample(settings: GenerationSettings, folder: Path) -> Generator[SamplingStep | Path]:
            from videorfsplat.ui import sampling

            pipeline = host.few_step_pipeline() if settings.few_step else host.pipeline()
            yield from sampling.sample(pipeline, settings, folder)

        self._sample = with_gpu(
            sample, lambda settings, folder: gpu_seconds(settings.num_inference_steps)
        )

    def sample(
        self, settings: GenerationSettings, stopped: Event | None = None
    ) -> Iterator[SamplingStep | Path]:
        """A run: steps worth showing, then the folder with the scene; no step begins once `stopped`
        is set."""
        # Before the run enters the thread in which the model would be loaded.
        self.host.start()
        with self.files.new() as folder:
            yield from _worth_showing(self.host.stream(self._sample(settings, folder), stopped))

    # The page opens --------------------------------------------------------------------------

    def open_page(self, request: gr.Request) -> tuple[Any, ...]:
        """Fields and result that the address asks for, or the first scene made earlier."""
        query = dict(request.query_params)
        try:
            settings = settings_from_query(query)
            if settings is not None:
                page_settings.check_ranges(vars(settings))
        except ValueError as error:
            card = message_card("This link cannot be used.", f"{error}.", state="error")
            return card, *_no_fields(), *Result()
        fields = _no_fields() if settings is None else _values(settings)
        folder = self.files.find(query.get(SCENE_KEY, ""))
        if folder is not None:
            return message_card("A scene by its link.", _who(folder)), *fields, *self._show(folder)
        is_gone = SCENE_KEY in query
        if settings is not None:
            is_complete = settings.trajectory != FILE_TRAJECTORY
            todo = "Generate makes" if is_complete else "Upload its camera file, and Generate makes"
            title = "This link's scene is gone after a day." if is_gone else "Settings of a link."
            card = message_card(title, f"{todo} the same scene again.")
            return card, *fields, *Result(timetable=self._timetable_of(settings))
        if not self.examples:
            return SKIP, *fields, *Result()
        card = message_card("A scene made earlier.", "Write a sentence for your own.")
        if is_gone:
            card = message_card(
                "This link's scene is gone after a day.", "Here is one made earlier.", state="error"
            )
        example = self._open_copy(next(iter(self.examples.values())))
        # The timetable shown is that of the fields, and the viewer has the scene from its start.
        shown = example._replace(timetable=SKIP)
        return card, *fields, *(shown if is_gone else shown._replace(viewer=SKIP))

    async def describe_model(self) -> AsyncIterator[str]:
        """The line about the model, and what it can draw as soon as it is loaded."""
        if not self.host.is_ready:
            yield _model_card("loading", "loading the model…")
        try:
            # Any number of visitors may wait for it, and none of them in a thread.
            await asyncio.shield(asyncio.wrap_future(self.host.start()))
            facts = self.host.facts()
        except (ValueError, RuntimeError, OSError) as error:
            # The name of the model, but not where it lies on this machine.
            model = Path(self.host.model)
            yield _model_card("missing", str(error).replace(str(model), model.name))
            return
        size = f"{facts.parameters / 1e6:,.0f} M parameters"
        views = f"{facts.num_views} views of {facts.width}×{facts.height}"
        summary = f"{facts.name} · {size} · {views} · {facts.device.upper()}"
        yield _model_card("ready", summary)

    # Fields change ---------------------------------------------------------------------------

    def draw_timetable(
        self, quality: Quality, steps: float | None, pose_offset: float | None, cameras: str
    ) -> str:
        """The timetable of these settings; the last one while a number is being typed."""
        if quality == "fast":
            sampling = few_step_sampling(self.host.model)
            steps, pose_offset = sampling.num_inference_steps, sampling.pose_offset
        if steps is None or pose_offset is None:
            return SKIP
        try:
            page_settings.check_ranges({"num_inference_steps": steps, "pose_offset": pose_offset})
        except ValueError:
            return SKIP
        return timetable_svg(self._timetable(int(steps), pose_offset, cameras != GENERATED))

    def read_sentence(self, prompt: str) -> str:
        """What the model reads in a sentence and what it cannot draw, as HTML; nothing before it is
        loaded."""
        is_text = isinstance(prompt, str) and prompt.strip()
        # Where a GPU is lent for each call, reading costs more than it says.
        if not is_text or len(prompt) > MAX_PROMPT_CHARACTERS or on_zero_gpu():
            return ""
        reading = self.host.read(prompt)
        return "" if reading is None else words_note(reading)

    def draw_given_cameras(self, cameras: str, file: str | None) -> tuple[str, str]:
        """The frustums of the preset or file, and what is wrong with it."""
        if cameras == FILE_TRAJECTORY and not file:
            hint = "Upload it here, or fly a path in the viewer while it records."
            return "", message_card("No cameras yet.", hint)
        try:
            given = self._given_cameras(cameras, file)
        except ValueError as error:
            return "", message_card("These cameras cannot be used.", str(error), state="error")
        if given is None:
            return "", ""
        path, left_out = given
        return frustum_plot(path), _left_out_note(left_out)

    def take_recorded_path(self, event: gr.EventData) -> tuple[str, str, str]:
        """A path flown in the viewer: as given cameras, and as a file to keep."""
        with errors_in_words("Not recorded"):
            check_message({"v": 1, "type": "recorded", "cameras": event._data}, "ViewerMessage")
            frames = event._data["frames"]
            if not 2 <= len(frames) <= MAX_RECORDED_CAMERAS:
                raise ValueError(f"A path has 2 to {MAX_RECORDED_CAMERAS} cameras.")
            with self.files.new() as folder:
                path = folder / "transforms.json"
                path.write_text(json.dumps(event._data), encoding="utf-8")
        link = (
            f'<a href="{file_url(path)}" download="path.json">Save the path (transforms.json)</a>'
        )
        words = f"The path you flew, {len(frames)} cameras, is in force. {link}"
        return FILE_TRAJECTORY, str(path), f'<p class="can-draw">{words}</p>'

    # Generating ------------------------------------------------------------------------------

    def check_fields(self, *values: Any) -> list[dict[str, Any]]:
        """What is wrong with each field, before anything waits in line."""
        fields = Fields(*values[: len(Fields._fields)])
        problems = dict.fromkeys(Fields._fields, "")
        for name, check in {
            "prompt": lambda: page_settings.check_prompt(fields.prompt),
            "seed": lambda: fields.new_seed or page_settings.check_seed(fields.seed),
        }.items():
            try:
                check()
            except ValueError as error:
                problems[name] = str(error)
        unchecked = [""] * (len(values) - len(fields))
        return [gr.validate(not one, one) for one in (*problems.values(), *unchecked)]

    def begin(self, *values: Any) -> tuple[Any, ...]:
        """The settings and seed of a run that is about to wait in line, and the scene to come back
        to if nothing comes of it.

        Args:
            *values: those of the form, then the names of the scene that is shown and of the one
                that was shown before a run.

        Raises:
            gr.Error: if there are no such cameras; said over the page, where a closed part of the
                form cannot hide it.
        """
        *form, shown, previous = values
        fields = Fields(*form)
        settings = self._settings(fields)
        several = [
            replace(settings, seed=seed).to_dict() for seed in seeds_of(fields, settings.seed)
        ]
        words = wait_in_words(settings.num_inference_steps, len(several))
        waiting = message_card("In line…", words, state="busy")
        # What is shown of the scene before stays, dimmed, until there is another.
        result = Result(timetable=self._timetable_of(settings), scene=None, film="", picks="")
        back_to = shown or previous
        tab = gr.Tabs(selected="scene")
        return several, back_to, False, settings.seed, tab, *working(waiting), *result

    def refuse(self) -> tuple[Any, ...]:
        """The page when what the form holds cannot be run; what is wrong is said where it is."""
        return (*resting(message_card("Not generated.", "See what is marked.", state="error")),)

    def generate(
        self, chosen: list[dict[str, Any]], request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Scenes of one sentence by several seeds: values after every step, then those of the
        first scene, then of the choice between them."""
        with self.runs.of(request.session_hash) as stopped:
            yield from _with_failures_told(self._generate(chosen, stopped), Result())

    def begin_comparison(self, *values: Any) -> tuple[Any, ...]:
        """The settings of both runs and the seed they share."""
        # The few steps of the fast way are made for one δ and no guidance.
        fields = Fields(*values[: len(Fields._fields)])._replace(quality="full")
        settings = self._settings(fields)
        sides = values[len(Fields._fields) :]
        half = len(Variant._fields)
        variants = Variant(*sides[:half]), Variant(*sides[half:])
        both = [page_settings.with_variant(settings, variant) for variant in variants]
        words = wait_in_words(settings.num_inference_steps, len(both))
        waiting = message_card("In line…", words, state="busy")
        return (
            [one.to_dict() for one in both],
            False,
            settings.seed,
            *working(waiting),
            *map(self._timetable_of, both),
            SKIP,
            SKIP,
            "",
        )

    def compare(
        self, chosen: list[dict[str, Any]], request: gr.Request
    ) -> Iterator[tuple[Any, ...]]:
        """Two scenes, one after the other: values after every step."""
        with self.runs.of(request.session_hash) as stopped:
            yield from _with_failures_told(self._compare(chosen, stopped), (SKIP,) * 5)

    def stop(self, request: gr.Request) -> tuple[Any, ...]:
        """That the person wants no result, and the page until the run has ended."""
        self.runs.stop(request.session_hash)
        detail = "The step that is on its way is the last."
        return True, *stopping(message_card("Stopping…", detail, state="busy"))

    async def settle(
        self, shown: str | None, previous: str | None, request: gr.Request
    ) -> tuple[Any, ...]:
        """The page as soon as the visitor's stopped run has ended, or nothing if that takes too
        long. Before that Gradio would take a click on Generate for one too many."""
        await self.runs.ended(request.session_hash, SETTLE_SECONDS)
        card = message_card("Stopped.", "Nothing more is computed.", state="stopped")
        return *resting(card), *self._back_to(shown, previous)

    def explain(
        self, status: str, is_stopped: bool, shown: str | None, previous: str | None
    ) -> tuple[Any, ...]:
        """The page after a run that gave no result."""
        if is_stopped:
            return *Activity(), *Result()
        if 'data-state="error"' in status:
            return *Activity(), *self._back_to(shown, previous)
        detail = "The line is full or the connection broke. Try again in a minute."
        card = message_card("That did not run.", detail, state="error")
        return *resting(card), *self._back_to(shown, previous)

    # A scene is there ------------------------------------------------------------------------

    def open_example(self, event: gr.EventData) -> tuple[Any, ...]:
        """A scene made earlier, with its settings."""
        example = self.examples.get(str(event._data["name"]))
        if example is None:
            raise gr.Error("This scene is gone. Reload the page.", print_exception=False)
        values = self._open_copy(example)
        seed = _settings_in(self.files.root / values.scene).seed
        # The timetable shown is that of the fields, which stay the visitor's.
        return message_card("Made earlier.", f"seed {seed}"), *values._replace(timetable=SKIP)

    def open_kept(self, event: gr.EventData) -> tuple[Any, ...]:
        """A scene of this visit, or one of several to choose from."""
        with errors_in_words("Not opened"):
            folder = self.kept(str(event._data["scene"]))
        result = self._show(folder)._replace(timetable=SKIP)
        return gr.Tabs(selected="scene"), message_card("Made before.", _who(folder)), *result

    def compare_kept(self, event: gr.EventData) -> tuple[Any, ...]:
        """Two scenes of this visit in the viewers of the comparison, and their figures."""
        with errors_in_words("Not compared"):
            pair = [self.kept(str(event._data[side])) for side in ("a", "b")]
        return *map(show_scene_messages, pair), scene_folder.comparison_table(pair)

    def kept(self, scene: str | None) -> Path:
        """The folder of a scene.

        Raises:
            ValueError: in words, if there is none.
        """
        folder = self.files.find(scene or "")
        if folder is None:
            raise ValueError("This scene is not kept any more. Generate it again.")
        return folder

    @contextmanager
    def added_to(self, scene: str | None) -> Iterator[Path]:
        """The folder of a scene, to which files are added.

        Raises:
            ValueError: in words, if there is none.
            OSError: in words, if there is no room.
        """
        folder = self.kept(scene)
        with self.files.adding_to(folder):
            yield folder

    def list_downloads(self, scene: str | None, axes: Literal["opencv", "opengl"]) -> str:
        """The files that the scene can be had in; they are made when they are asked for."""
        folder = self.files.find(scene or "")
        if folder is None:
            return ""
        from videorfsplat.ui.downloads import downloads_list

        return downloads_list(folder, axes)

    def make_download(
        self, scene: str | None, axes: Literal["opencv", "opengl"], event: gr.EventData
    ) -> Iterator[str]:
        """One file of the scene, which the page then saves."""
        from videorfsplat.ui.downloads import downloads_list, make_download

        name = str(event._data["file"])
        with errors_in_words("No file"):
            folder = self.kept(scene)
            yield downloads_list(folder, axes, making=name)
            try:
                with self.files.adding_to(folder):
                    self.host.run(make_download, folder, name, axes)
            except Exception:
                logger.exception("%s: %s could not be made", folder.name, name)
                yield downloads_list(folder, axes, failed=name)
                return
        yield downloads_list(folder, axes, start=name)

    def make_film(self, scene: str | None, path: str) -> str:
        """A film along a path, as HTML."""
        from videorfsplat.ui.downloads import film_player, make_film

        with errors_in_words("No film"), self.added_to(scene) as folder:
            return film_player(folder, self.host.run(make_film, folder, path or None))

    def share(self, scene: str | None, request: gr.Request, *values: Any) -> str:
        """A link to the page of the shown scene, or to the fields if there is none, as HTML."""
        base = str(request.request.base_url) if request.request else "/"
        folder = self.files.find(scene or "")
        if folder is None:
            fields = Fields(*values)._replace(new_seed=False)
            with errors_in_words("No link"):
                settings = page_settings.settings_from_fields(fields, self.host.model)
            address = f"{base}?{share_query(settings)}"
            return share_panel(address, "These settings make the same scene again.")
        address = scene_address(base, folder)
        return share_panel(address, kept_until(folder), embed_code(address))

    def shared_page(self, request: Request) -> Response:
        """The page of a kept scene; that of its settings once the scene is gone."""
        folder = self.files.find(request.path_params["name"])
        query = urlencode(
            [pair for pair in request.query_params.multi_items() if pair[0] != SCENE_KEY]
        )
        base = str(request.base_url)
        if folder is None:
            name = quote(request.path_params["name"], safe="")
            return RedirectResponse(f"{base}?{query}&{SCENE_KEY}={name}")
        return HTMLResponse(scene_page(folder, base, query))

    # -----------------------------------------------------------------------------------------

    def _generate(self, chosen: list[dict[str, Any]], stopped: Event) -> Iterator[tuple[Any, ...]]:
        start = time.perf_counter()
        yield *working(self._starting()), *Result()
        made: list[Path] = []
        for number, values in enumerate(chosen, 1):
            settings = GenerationSettings.from_dict(values)
            title = f"Scene {number} of {len(chosen)}" if len(chosen) > 1 else ""
            for item in self.sample(settings, stopped):
                if isinstance(item, Path):
                    made.append(item)
                    result = self._show(item) if number == 1 else Result()
                    picks = scene_folder.choice_of(made, len(chosen))
                    yield *Activity(), *result._replace(picks=picks)
                elif not made:
                    card = progress_card(item, title)
                    yield *Activity(status=card), *self._step(settings, item)
                else:
                    # The first scene is there to be looked at: nothing covers it.
                    yield *Activity(status=progress_card(item, title)), *Result()
        if not made:
            return
        seconds = format_seconds(time.perf_counter() - start)
        what = f"{len(made)} scenes made in {seconds}." if len(made) > 1 else f"Made in {seconds}."
        detail = "Choose one." if len(made) > 1 else _who(made[0])
        yield *resting(message_card(what, detail, state="done")), *Result()

    def _compare(self, chosen: list[dict[str, Any]], stopped: Event) -> Iterator[tuple[Any, ...]]:
        start = time.perf_counter()
        yield *working(self._starting()), *(SKIP,) * 5
        made: list[Path] = []
        for index, name in enumerate("AB"):
            settings = GenerationSettings.from_dict(chosen[index])
            for item in self.sample(settings, stopped):
                values: list[Any] = [SKIP] * 5
                if isinstance(item, Path):
                    made.append(item)
                    values[2 + index] = show_scene_messages(item)
                    yield *Activity(), *values
                else:
                    values[index] = self._timetable_of(settings, item.index + 1)
                    yield *Activity(status=progress_card(item, name)), *values
        if len(made) < 2:
            return
        seconds = format_seconds(time.perf_counter() - start)
        card = message_card(f"Compared in {seconds}.", "Both views move together.", state="done")
        yield *resting(card), *(SKIP,) * 4, scene_folder.comparison_table(made)

    def _starting(self) -> str:
        if self.host.is_ready:
            return message_card("Starting…", state="busy")
        return message_card("Loading the model…", "Only the first time.", state="busy")

    def _timetable(self, steps: int, pose_offset: float, given_cameras: bool) -> Any:
        return self.host.timetable(steps, pose_offset, given_cameras=given_cameras)

    def _timetable_of(self, settings: GenerationSettings, done: int | None = None) -> str:
        steps, given = settings.num_inference_steps, settings.trajectory is not None
        return timetable_svg(self._timetable(steps, settings.pose_offset, given), done)

    def _given_cameras(
        self, cameras: str, file: str | None
    ) -> tuple[dict[str, Any], list[str]] | None:
        """Contents of a `transforms.json` of the chosen path, and what of its file is left out."""
        trajectory = page_settings.chosen_trajectory(cameras, file)
        if trajectory is None:
            return None
        from videorfsplat.formats.transforms_json import transforms_dict

        facts = self.host.facts()
        given, left_out = load_given_cameras(trajectory, facts.num_views, facts.width, facts.height)
        return transforms_dict(given), left_out

    def _settings(self, fields: Fields) -> GenerationSettings:
        """Those of the form, whose cameras exist.

        Raises:
            gr.Error: if they do not, saying why.
        """
        with errors_in_words("Not generated"):
            self._given_cameras(fields.cameras, fields.camera_file)
            return page_settings.settings_from_fields(fields, self.host.model)

    def _back_to(self, shown: str | None, previous: str | None) -> Result:
        """The scene from before a run, unless one is shown anyway."""
        folder = None if shown else self.files.find(previous or "")
        # The timetable keeps the place that the run reached.
        return Result() if folder is None else self._show(folder)._replace(timetable=SKIP)

    def _step(self, settings: GenerationSettings, step: SamplingStep) -> Result:
        result = Result(timetable=self._timetable_of(settings, step.index + 1))
        if step.preview is None:
            return result
        # The viewer shows where the cameras are; the plot would cost a tenth of a run more.
        return result._replace(
            viewer=show_cameras_messages(step.preview.cameras),
            frames=frame_strip(step.preview.frames),
        )

    def _show(self, folder: Path) -> Result:
        description = scene_folder.read_scene_record(folder)
        settings = _settings_in(folder)
        return Result(
            timetable=self._timetable_of(settings, settings.num_inference_steps),
            viewer=show_scene_messages(folder),
            frames=scene_folder.frames_of(folder),
            frustums=frustum_plot(
                scene_folder.read_cameras(folder), scene_folder.read_points(folder)
            ),
            record=scene_folder.record_table(description),
            downloads=self.list_downloads(folder.name, "opencv"),
            scene=folder.name,
            film="",
            link=share_buttons(),
        )

    def _open_copy(self, example: ExampleScene) -> Result:
        """The example in a folder of results, where its other files can be made once for all."""
        folder = self.files.find(self._copies.get(example.folder.name, ""))
        if folder is None:
            with self.files.new() as folder:
                shutil.copytree(example.folder, folder, dirs_exist_ok=True)
            self._copies[example.folder.name] = folder.name
        # Its age counts from the last time it was opened; a copy takes that of the original.
        os.utime(folder)
        return self._show(folder)


def _worth_showing(run: Iterator[SamplingStep | Path]) -> Iterator[SamplingStep | Path]:
    """The run without steps that come so soon after another that nobody would see both.

    Where page and model share a processor, every update takes its time from the model.
    """
    shown = -math.inf
    for item in run:
        now = time.perf_counter()
        is_hurried = isinstance(item, SamplingStep) and item.preview is None and not item.is_last
        if is_hurried and now - shown < UPDATE_SECONDS:
            continue
        shown = now
        yield item


def _with_failures_told(
    run: Iterator[tuple[Any, ...]], unchanged: tuple[Any, ...]
) -> Iterator[tuple[Any, ...]]:
    """The values of a run; if it fails, first those that put the page at rest and say why.

    Raises:
        gr.Error: if the person can do something about it; other failures as they are.
    """
    try:
        with errors_in_words("Not generated"):
            yield from run
    except Exception as error:
        reason = error.message if isinstance(error, gr.Error) else str(error)
        yield *resting(message_card("That did not work.", reason, state="error")), *unchanged
        raise


def _no_fields() -> tuple[Any, ...]:
    return (SKIP,) * len(Fields._fields)


def _values(settings: GenerationSettings) -> tuple[Any, ...]:
    return tuple(page_settings.field_values(settings).values())


def _settings_in(folder: Path) -> GenerationSettings:
    return GenerationSettings.from_dict(
        scene_folder.read_scene_record(folder)["record"]["settings"]
    )


def _who(folder: Path) -> str:
    description = scene_folder.read_scene_record(folder)
    return f"seed {description['record']['seed']} · {description['num_gaussians']:,} Gaussians"


def _left_out_note(left_out: Sequence[str]) -> str:
    """Which cameras of a file are not followed, as HTML; nothing if all are."""
    if not left_out:
        return ""
    reasons = "; ".join(left_out[:_MOST_REASONS])
    more = len(left_out) - _MOST_REASONS
    reasons += f"; and {more} more" if more > 0 else ""
    return message_card(f"{len(left_out)} of the file's cameras are left out.", f"{reasons}.")


def _model_card(state: str, summary: str) -> str:
    """The line about the model."""
    line = f'<span class="model-line" data-state="{state}">{html.escape(summary)}</span>'
    return f'<div class="model-card">{line}</div>'
