"""The line of the page: who may join it, whose turn it is, and how long that will take.

Every queued event of the page waits in a line. Runs of the model share one; what is cheap has lines
of its own. The line of the runs is short for each visitor and long for all of them, it holds only
visitors who are there to hear the result, and it tells when a result will come by what those before
have asked for.
"""

import asyncio
import inspect
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import HTTPException, Request
from gradio import Blocks
from gradio.block_function import BlockFunction
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue
from gradio.server_messages import (
    EstimationMessage,
    EventMessage,
    ProcessCompletedMessage,
    ProcessGeneratingMessage,
)
from gradio.utils import run_coro_in_background

from videorfsplat.ui.page_files import SERVED_FOLDERS

RUNS_LINE = "sampler"
"""The line (`concurrency_id`) of the runs of the model."""

_SWEEP_SECONDS = 0.5


@dataclass(frozen=True)
class LineLimits:
    """How many events may wait or go on in a line, and how long one waits that nobody hears."""

    per_visitor: int
    per_address: int
    in_all: int


RUNS = LineLimits(per_visitor=3, per_address=8, in_all=64)
"""A tab has one run, or two while a stopped one ends; a class may share an address."""
OTHERS = LineLimits(per_visitor=12, per_address=48, in_all=256)
"""A tab that opens asks for a few things at once."""

LISTENING_SECONDS = 2.0
"""Until a visitor who has joined listens, at the latest: clients do so at once."""
UNHEARD_SECONDS = 10.0
"""After which an event goes that nobody listens to. Clients listen as soon as they have joined."""
IDLE_SESSION_SECONDS = 600.0
"""After which the values of a session go that has no open connection and nothing in a line."""
MAX_SESSIONS = 512
"""Each takes a fifth of a megabyte."""


class Line(Queue):
    """Gradio's queue with limits for each visitor and address, for listeners only.

    Args:
        blocks: the page.
        runs: limits of the line of the runs.
        others: limits of each other line.
        unheard_seconds: after which an event goes that nobody listens to.
        idle_session_seconds: after which a session without connection goes.
    """

    def __init__(
        self,
        blocks: Blocks,
        runs: LineLimits = RUNS,
        others: LineLimits = OTHERS,
        unheard_seconds: float = UNHEARD_SECONDS,
        idle_session_seconds: float = IDLE_SESSION_SECONDS,
    ) -> None:
        super().__init__(
            live_updates=True,
            concurrency_count=blocks.max_threads,
            update_intervals=1,
            max_size=None,
            blocks=blocks,
        )
        self._runs, self._others = runs, others
        self._unheard_seconds = unheard_seconds
        self._idle_session_seconds = idle_session_seconds
        self._listeners: Counter[str] = Counter()
        self._connections: Counter[str] = Counter()
        self._last_heard: dict[str, float] = {}
        self._last_open: dict[str, float] = {}
        self.durations = RunDurations()

    # Who listens -----------------------------------------------------------------------------

    @contextmanager
    def listening(self, key: str, hears_results: bool = True) -> Iterator[None]:
        """Somebody hears what is told to a session, or of one event.

        Args:
            key: the session's name or the event's.
            hears_results: not so for a connection that only says that a tab is open.
        """
        counters = [self._connections] + [self._listeners] * hears_results
        for counter in counters:
            counter[key] += 1
        try:
            yield
        finally:
            if hears_results:
                self._last_heard[key] = time.monotonic()
            for counter in counters:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]

    def is_heard(self, event: Event) -> bool:
        """Whether somebody listens to an event right now."""
        return self._listeners[event.session_hash] > 0 or self._listeners[event._id] > 0

    def is_given_up(self, event: Event) -> bool:
        """Whether nobody listened to an event for too long."""
        if self.is_heard(event):
            return False
        heard = (self._last_heard.get(key, 0.0) for key in (event.session_hash, event._id))
        return time.monotonic() - max(event.enqueue_time, *heard) > self._unheard_seconds

    # Joining ---------------------------------------------------------------------------------

    async def push(
        self, body: PredictBodyInternal, request: Request, username: str | None
    ) -> tuple[bool, Any, Any]:
        """Let an event join its line.

        Raises:
            HTTPException: 429 if the visitor, or the address, has enough in it; 503 if it is full;
                422 if there is no such function.
        """
        self._check_room(self._function_of(body), body.session_hash, request)
        is_in, said, state = await super().push(body, request, username)
        if state == "error" and "event handler" in str(said):
            # Gradio says here what Python said of values of another type.
            said = "These values do not fit the form."
        return is_in, said, state

    def _function_of(self, body: PredictBodyInternal) -> BlockFunction:
        functions = self.blocks.fns
        if body.fn_index not in functions:
            raise HTTPException(422, "There is no such function.")
        return functions[body.fn_index]

    def _check_room(self, fn: BlockFunction, visitor: str | None, request: Request) -> None:
        limits = self._runs if fn.concurrency_id == RUNS_LINE else self._others
        events = [event for event in self._events() if _line_of(event.fn) == _line_of(fn)]
        address = _address(request)
        if len(events) >= limits.in_all:
            raise HTTPException(503, "The line is full. Try again in a minute.")
        if sum(_address(event.request) == address for event in events) >= limits.per_address:
            raise HTTPException(
                429, "Your address has enough in the line. Wait for some of it to end."
            )
        if sum(event.session_hash == visitor for event in events) >= limits.per_visitor:
            raise HTTPException(429, "You have enough in the line. Wait for some of it to end.")

    def _events(self) -> list[Event]:
        """All that wait or go on."""
        waiting = [e for line in self.event_queue_per_concurrency_id.values() for e in line.queue]
        return [*waiting, *(event for job in self.active_jobs if job for event in job)]

    # Whose turn it is ------------------------------------------------------------------------

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """The next that can go on. A run that nobody hears keeps its place but not its turn."""
        line = self.event_queue_per_concurrency_id.get(RUNS_LINE)
        if line is None:
            return super().get_events()
        places = list(line.queue)
        line.queue = [event for event in places if self.is_heard(event)]
        chosen = super().get_events()
        taken = chosen[0] if chosen else []
        line.queue = [event for event in places if event not in taken]
        return chosen

    async def process_events(
        self, events: list[Event], batch: bool, begin_time: float, fn: BlockFunction
    ) -> None:
        """Let events go on, and learn from a run how long runs take."""
        begun, event = time.monotonic(), events[0]
        steps = self._steps_of(event)
        await super().process_events(events, batch, begin_time, fn)
        record = self.event_analytics.get(event._id, {})
        if fn.concurrency_id == RUNS_LINE and event.alive and record.get("status") == "success":
            self.durations.add(fn._id, steps, time.monotonic() - begun)

    # How long it takes -----------------------------------------------------------------------

    def broadcast_estimations(self, concurrency_id: str, after: int | None = None) -> None:
        """Tell those who wait their place, and when they will have their result if that is known:
        the rest of the run that goes on, all of those before, and their own."""
        if concurrency_id != RUNS_LINE:
            return super().broadcast_estimations(concurrency_id, after)
        places = self.event_queue_per_concurrency_id[concurrency_id].queue
        coming = [self._comes(event) for event in places]
        seconds = [self._seconds_of(event) for event in places]
        for place, event in enumerate(places):
            if after is not None and place < after:
                continue
            before = [s for s, comes in zip(seconds[:place], coming, strict=False) if comes]
            wait = seconds_until_result(self._running(), [*before, seconds[place]])
            message = EstimationMessage(
                rank=len(before), rank_eta=wait, queue_size=max(sum(coming), len(before) + 1)
            )
            self.send_message(event, message)
        return None

    def send_message(self, event: Event, event_message: EventMessage) -> None:
        """Tell a visitor something, with paths as they are told."""
        if isinstance(event_message, ProcessCompletedMessage | ProcessGeneratingMessage):
            told = SERVED_FOLDERS.told_in(event_message.output)
            event_message = event_message.model_copy(update={"output": told})
        super().send_message(event, event_message)

    def _seconds_of(self, event: Event) -> float | None:
        return self.durations.estimate(event.fn._id, self._steps_of(event))

    def _running(self) -> list[tuple[float | None, float]]:
        """Of the runs that go on: seconds that such runs take, and since it began."""
        now = time.time()
        line = self.event_queue_per_concurrency_id[RUNS_LINE]
        return [
            (self._seconds_of(event), now - min(line.start_times_per_fn.get(event.fn, {now})))
            for job in self.active_jobs
            for event in job or []
            if _line_of(event.fn) == RUNS_LINE
        ]

    def _comes(self, event: Event) -> bool:
        """Whether one that waits will have its turn, as far as can be told: somebody listens, or
        has only just joined."""
        return self.is_heard(event) or time.monotonic() - event.enqueue_time < LISTENING_SECONDS

    def _steps_of(self, event: Event) -> int | None:
        """How many denoising steps a run was asked for; `None` if only its endpoint knows."""
        values = event.data.data if event.data is not None else []
        for block, value in zip(event.fn.inputs, values, strict=False):
            chosen = (
                self._state_of(event, block._id) if getattr(block, "stateful", False) else value
            )
            asked = chosen if isinstance(chosen, list) else [chosen]
            counts = [_steps_in(one) for one in asked]
            if counts and None not in counts:
                return sum(count for count in counts if count is not None)
        names = list(inspect.signature(event.fn.fn).parameters) if event.fn.fn else []
        asked = dict(zip(names, values, strict=False))
        steps, offsets = _steps_in(asked), asked.get("pose_offsets")
        # A comparison is a run for each of its offsets.
        return steps and steps * (len(offsets) if isinstance(offsets, list | tuple) else 1)

    def _state_of(self, event: Event, block_id: int) -> Any:
        holder = self.blocks.state_holder
        if event.session_hash not in holder:
            return None
        return holder.session_data[event.session_hash].state_data.get(block_id)

    def compute_analytics_summary(self, records: Any) -> dict[str, Any]:
        """Nothing: nobody may see how the page is used, and it would be a table for every event."""
        return self.cached_event_analytics_summary

    # Who is gone -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work off the lines."""
        super().start()
        run_coro_in_background(self._sweep)

    async def _sweep(self) -> None:
        while not self.stopped:
            await asyncio.sleep(_SWEEP_SECONDS)
            await self._drop_unheard()
            self._forget_sessions()

    async def _drop_unheard(self) -> None:
        given_up = [event for event in self._events() if self.is_given_up(event)]
        for event in given_up:
            await self.clean_events(event_id=event._id)
            self._forget_event(event)
        if any(_line_of(event.fn) == RUNS_LINE for event in given_up):
            self.broadcast_estimations(RUNS_LINE)

    def _forget_event(self, event: Event) -> None:
        pending = self.pending_event_ids_session.get(event.session_hash, set())
        pending.discard(event._id)
        if not pending:
            self.pending_event_ids_session.pop(event.session_hash, None)
            self.pending_messages_per_session.pop(event.session_hash, None)

    def _forget_sessions(self) -> None:
        """Drop the values of sessions that are gone; keep those that wait from being the oldest."""
        holder, now = self.blocks.state_holder, time.monotonic()
        used = {event.session_hash for event in self._events()} | set(self._connections)
        for session in used:
            self._last_open[session] = now
            holder.update(session)
        known = {*holder.session_data, *self.pending_event_ids_session}
        for session in known:
            since = self._last_open.setdefault(session, now)
            if now - since > self._idle_session_seconds:
                holder.session_data.pop(session, None)
                holder.time_last_used.pop(session, None)
                self.pending_event_ids_session.pop(session, None)
                self.pending_messages_per_session.pop(session, None)
        old = now - max(self._idle_session_seconds, self._unheard_seconds)
        for times in (self._last_open, self._last_heard):
            for key in [key for key, then in times.items() if then < old]:
                del times[key]


class RunDurations:
    """How long runs took, and how long one will take.

    The first run is left out: the model is loaded and kernels are compiled in it.

    Args:
        remembered: so many of the last runs.
    """

    def __init__(self, remembered: int = 20) -> None:
        self._stepped: deque[tuple[int, float]] = deque(maxlen=remembered)
        self._others: dict[int, deque[float]] = {}
        self._remembered = remembered
        self._has_begun = False

    def add(self, endpoint: int, steps: int | None, seconds: float) -> None:
        """A run has ended.

        Args:
            endpoint: that was asked for it.
            steps: that were asked for; `None` if the endpoint decides.
            seconds: that it took.
        """
        if not self._has_begun:
            self._has_begun = True
        elif steps is None:
            self._others.setdefault(endpoint, deque(maxlen=self._remembered)).append(seconds)
        else:
            self._stepped.append((steps, seconds))

    def estimate(self, endpoint: int, steps: int | None) -> float | None:
        """Seconds of a run; `None` before there was one like it."""
        if steps is None:
            past = self._others.get(endpoint)
            return float(np.median(past)) if past else None
        if not self._stepped:
            return None
        counts, seconds = np.array(self._stepped, dtype=float).T
        per_step, rest = _seconds_per_step(counts, seconds)
        # A shared machine is now as fast as it was in the last few runs.
        paces = seconds[-_RUNS_OF_PACE:] / (rest + per_step * counts[-_RUNS_OF_PACE:])
        return float(np.median(paces) * (rest + per_step * steps))


_RUNS_OF_PACE = 5
"""Enough for their median to pass over a run that was held up."""

OVERDUE_SHARE = 0.1
"""What is left of a run that has taken longer than such runs do, as a share of that."""


def seconds_until_result(
    running: Sequence[tuple[float | None, float]], coming: Sequence[float | None]
) -> float | None:
    """When the last of those who wait has a result.

    Args:
        running: of the runs that go on, seconds that such runs take, and since it began.
        coming: seconds of the runs that follow one after the other, the last one's included.

    Returns:
        Seconds, or `None` if those of a run are not known.
    """
    left = [
        None if taken is None else max(taken - elapsed, OVERDUE_SHARE * elapsed)
        for taken, elapsed in running
    ]
    known = [seconds for seconds in (*left, *coming) if seconds is not None]
    return sum(known) if len(known) == len(left) + len(coming) else None


def _seconds_per_step(counts: np.ndarray, seconds: np.ndarray) -> tuple[float, float]:
    """What each step takes, and what a run takes besides: the line through the runs by the median
    slope of its pairs (Theil and Sen), which runs that were held up do not turn."""
    more = counts[:, None] - counts
    longer = (seconds[:, None] - seconds)[more > 0]
    if len(longer):
        per_step = max(float(np.median(longer / more[more > 0])), 0.0)
        rest = float(np.median(seconds - per_step * counts))
        if rest > 0:
            return per_step, rest
    # Of one number of steps, or with nothing besides them.
    return float(np.median(seconds / counts)), 0.0


def _steps_in(settings: Any) -> int | None:
    steps = settings.get("num_inference_steps") if isinstance(settings, dict) else None
    return steps if isinstance(steps, int) and not isinstance(steps, bool) else None


def _line_of(fn: BlockFunction) -> str:
    return str(fn.concurrency_id)


def _address(request: Any) -> str:
    client = getattr(request, "client", None)
    return client.host if client is not None else "unknown"
