"""The one model of the page, and the one thread that computes."""

import json
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock
from typing import TYPE_CHECKING, Any, TypeVar

from videorfsplat.generation.checkpoint import find_model, has_few_step
from videorfsplat.rendering.kernel_compilation import start_compiling
from videorfsplat.sampling.schedules import Timetable, given_cameras_timetable, timetable
from videorfsplat.ui.sentence import reader_attributes

if TYPE_CHECKING:
    from videorfsplat.language.reading import Reading
    from videorfsplat.pipeline_videorfsplat import VideoRFSplatPipeline

_END: Any = object()

T = TypeVar("T")


@dataclass(frozen=True)
class ModelFacts:
    """What a person should know of the model."""

    name: str
    device: str
    parameters: int
    """Of all parts."""
    num_views: int
    width: int
    height: int


class ModelHost:
    """Loads a model once, in the background, and computes with it in one thread.

    OpenMP keeps a team of helpers for every thread that ever computed. Once there are more of them
    than cores, libgomp's helpers sleep between two operations instead of being at hand, and a run
    took 1.7 times as long: so whatever uses torch on large arrays goes through `run` or `stream`.

    Args:
        model: `mini`, the folder of a saved pipeline, or a hub id.
        device: torch's name of it, or "auto".

    Raises:
        FileNotFoundError: if there is no such model.
        ValueError: if the folder holds none.
    """

    def __init__(self, model: str, device: str = "auto") -> None:
        self.model = model
        self._device = device
        self._source = find_model(model)
        self._thread = ThreadPoolExecutor(1, "model")
        self._lock = Lock()
        self._loading: Future[VideoRFSplatPipeline] | None = None
        self._few_step: VideoRFSplatPipeline | None = None

    def start(self) -> "Future[VideoRFSplatPipeline]":
        """Begin to load, if nobody did, or if it failed."""
        with self._lock:
            loading = self._loading
            if loading is None or (loading.done() and loading.exception() is not None):
                loading = self._loading = self._thread.submit(self._load)
            return loading

    @property
    def is_ready(self) -> bool:
        """Whether the model is loaded."""
        loading = self._loading
        return loading is not None and loading.done() and loading.exception() is None

    def pipeline(self) -> "VideoRFSplatPipeline":
        """The model; waits until it is loaded.

        Raises:
            ValueError: if it cannot be loaded.
        """
        return self.start().result()

    @property
    def has_few_step(self) -> bool:
        """Whether the model is known to bring a few-step variant."""
        return has_few_step(self.model)

    @cached_property
    def attributes(self) -> dict[str, list[str]]:
        """Attributes of a scene that the model's prompt reader knows, and their values; known
        before it is loaded, and empty if it has no reader or is on the hub."""
        return reader_attributes(self._source) if isinstance(self._source, Path) else {}

    def read(self, prompt: str) -> "Reading | None":
        """What a prompt states; `None` if the model has no reader, or is not loaded yet."""
        return self.run(self.pipeline().read_prompt, prompt) if self.is_ready else None

    def few_step_pipeline(self) -> "VideoRFSplatPipeline":
        """The model's few-step variant, made when it is first asked for; in the thread of `run`.

        Raises:
            ValueError: if there is none, or it cannot be loaded.
        """
        pipeline = self.pipeline()
        from videorfsplat.generation.loading import few_step_pipeline

        if self._few_step is None:
            self._few_step = few_step_pipeline(pipeline, self.model)
        return self._few_step

    def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """What the function returns, or raises, in the thread that computes."""
        return self._submit(function, *arguments).result()

    def stream(self, items: Generator[T], stopped: Event | None = None) -> Iterator[T]:
        """The items, each computed in the thread that computes, one after the other: none waits
        until those before it are taken, as the page needs its time to show them.

        Other work may come between two items. The one that is being computed when `stopped` is set,
        or the iterator is closed, is the last; then `items` is closed.
        """
        closed, stopped = Event(), stopped or Event()
        coming: SimpleQueue[Future[T]] = SimpleQueue()

        def following() -> T:
            item = _END if closed.is_set() or stopped.is_set() else next(items, _END)
            if item is not _END:
                coming.put(self._submit(following))
            return item

        coming.put(self._submit(following))
        try:
            while (item := coming.get().result()) is not _END:
                yield item
        finally:
            closed.set()
            # Not waited for: it may be the thread that serves every visitor that closes.
            self._submit(items.close)

    def after_work(self, function: Callable[[], None]) -> None:
        """Call the function when what was asked for before has been computed; of a stream, the item
        that is on its way. Does not wait for that."""
        self._submit(function)

    def facts(self) -> ModelFacts:
        """About the model; waits until it is loaded."""
        pipeline = self.pipeline()
        height, width = pipeline.default_size
        parts = (part for part in pipeline.components.values() if hasattr(part, "parameters"))
        return ModelFacts(
            name=self.model if self.model == "mini" else Path(self.model).name,
            device=str(pipeline.device),
            parameters=sum(p.numel() for part in parts for p in part.parameters()),
            num_views=pipeline.num_views,
            width=width,
            height=height,
        )

    def timetable(
        self, num_inference_steps: int, pose_offset: float, *, given_cameras: bool
    ) -> Timetable:
        """The timetable that a run with these settings follows.

        A saved model is asked without loading it; one on the hub is waited for.

        Raises:
            ValueError: if a setting is out of range.
        """
        if not isinstance(self._source, Path):
            return self.pipeline().make_timetable(
                num_inference_steps, pose_offset, given_cameras=given_cameras
            )
        base, shift, pose_shift = _saved_schedule(self._source)
        if given_cameras:
            return given_cameras_timetable(num_inference_steps, base=base, shift=shift)
        return timetable(
            num_inference_steps, pose_offset, base=base, shift=shift, pose_shift=pose_shift
        )

    def _submit(self, function: Callable[..., T], *arguments: Any) -> "Future[T]":
        return self._thread.submit(copy_context().run, function, *arguments)

    def _load(self) -> "VideoRFSplatPipeline":
        # Here and not above, so that the page opens before torch is imported.
        start_compiling()
        from videorfsplat.generation.loading import load_pipeline

        pipeline = load_pipeline(self.model, self._device)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def _saved_schedule(folder: Path) -> tuple[str, float, float]:
    """Base schedule of a saved pipeline, shift of its image times and of its pose times."""
    index = json.loads((folder / "model_index.json").read_bytes())
    base = index.get("base_schedule", "linear")
    return base, _saved_shift(folder / "scheduler"), _saved_shift(folder / "pose_scheduler")


def _saved_shift(folder: Path) -> float:
    config = json.loads((folder / "scheduler_config.json").read_bytes())
    return config.get("shift", config.get("flow_shift", 1.0))
