"""Which visitors have a run that is computed right now, and what stops it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Event


class OngoingRuns:
    """The runs that have begun and not ended; those that wait in line are none of them.

    Args:
        after_work: calls a function once the model is done with the step that is on its way.
    """

    def __init__(self, after_work: Callable[[Callable[[], None]], None]) -> None:
        self._after_work = after_work
        self._runs: list[tuple[str | None, Event]] = []
        self._ended = Condition()

    @contextmanager
    def of(self, visitor: str | None) -> Iterator[Event]:
        """A run of this visitor goes on; the event is set when the visitor stops it."""
        run = visitor, Event()
        with self._ended:
            self._runs.append(run)
        try:
            yield run[1]
        finally:
            self._after_work(lambda: self._end(run))

    def stop(self, visitor: str | None) -> None:
        """Tell this visitor's runs that nobody wants their result."""
        with self._ended:
            for stopped in self._of(visitor):
                stopped.set()

    def wait_for_end(self, visitor: str | None) -> None:
        """Return when this visitor has no run; at once if there is none."""
        with self._ended:
            self._ended.wait_for(lambda: not self._of(visitor))

    def _of(self, visitor: str | None) -> list[Event]:
        return [stopped for owner, stopped in self._runs if owner == visitor]

    def _end(self, run: tuple[str | None, Event]) -> None:
        with self._ended:
            self._runs.remove(run)
            self._ended.notify_all()
