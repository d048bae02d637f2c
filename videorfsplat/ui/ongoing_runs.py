"""Which visitors have a run that is computed right now."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class OngoingRuns:
    """The runs that have begun and not ended; those that wait in line are none of them."""

    def __init__(self) -> None:
        self._visitors: Counter[str | None] = Counter()
        self._ended = Condition()

    @contextmanager
    def of(self, visitor: str | None) -> Iterator[None]:
        """A run of this visitor goes on."""
        with self._ended:
            self._visitors[visitor] += 1
        try:
            yield
        finally:
            with self._ended:
                self._visitors -= Counter([visitor])
                self._ended.notify_all()

    def wait_for_end(self, visitor: str | None) -> None:
        """Return when this visitor has no run; at once if there is none."""
        with self._ended:
            self._ended.wait_for(lambda: not self._visitors[visitor])
