"""Which visitors have a run that is computed right now, and what stops it."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock


@dataclass(frozen=True, eq=False)
class _Run:
    visitor: str | None
    stopped: Event = field(default_factory=Event)
    ended: Future[None] = field(default_factory=Future)


class OngoingRuns:
    """The runs that have begun and not ended; those that wait in line are none of them.

    Args:
        after_work: calls a function once the model is done with the step that is on its way.
    """

    def __init__(self, after_work: Callable[[Callable[[], None]], None]) -> None:
        self._after_work = after_work
        self._runs: list[_Run] = []
        self._lock = Lock()

    @contextmanager
    def of(self, visitor: str | None) -> Iterator[Event]:
        """A run of this visitor goes on; the event is set when the visitor stops it."""
        run = _Run(visitor)
        with self._lock:
            self._runs.append(run)
        try:
            yield run.stopped
        finally:
            self._after_work(lambda: self._end(run))

    def stop(self, visitor: str | None) -> None:
        """Tell this visitor's runs that nobody wants their result."""
        for run in self._of(visitor):
            run.stopped.set()

    async def ended(self, visitor: str | None, seconds: float) -> bool:
        """Wait until this visitor has no run, at most so long; whether it has none.

        However many wait, no thread does.
        """
        ends = [asyncio.wrap_future(run.ended) for run in self._of(visitor)]
        if not ends:
            return True
        _, still_waiting = await asyncio.wait(ends, timeout=seconds)
        return not still_waiting

    def _of(self, visitor: str | None) -> list[_Run]:
        with self._lock:
            return [run for run in self._runs if run.visitor == visitor]

    def _end(self, run: _Run) -> None:
        with self._lock:
            self._runs.remove(run)
        run.ended.set_result(None)
