"""Let the networks go on while what they found is brought to the original grid.

The networks run in the calling thread, the export in one thread beside it, and a short queue
between them keeps memory flat: whoever is faster waits.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from types import TracebackType
from typing import TypeVar

from autoseg.inference.sliding_window import LogitsSlab

R = TypeVar("R")

QUEUED_SLABS = 2
"""Slabs that may wait for the export."""

PATIENCE_SECONDS = 0.1
"""How often a full queue is checked for an export that has failed and takes no more."""


class _End:
    """Stands in the queue behind the last slab."""


class ExportThread:
    """One thread that exports one image after the other; use it in a `with` block."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="export")

    def __enter__(self) -> "ExportThread":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Return the future of some work that follows all exports so far."""
        return self._pool.submit(work)

    def feed(
        self, slabs: Iterable[LogitsSlab], export: Callable[[Iterator[LogitsSlab]], R]
    ) -> Future[R]:
        """Return the future of `export`, after all slabs have been made and handed over.

        The slabs are made in the calling thread. An error while making them comes out of the
        future, as does one of `export`, which ends the making of slabs.
        """
        queue: Queue[LogitsSlab | BaseException | _End] = Queue(QUEUED_SLABS)
        future = self._pool.submit(lambda: export(_drained(queue)))
        last: BaseException | _End = _End()
        try:
            for slab in slabs:
                if not _put(queue, slab, future):
                    break
        except BaseException as error:
            last = error
            if not isinstance(error, Exception):  # Ctrl-C ends the program, not just this image
                raise
        finally:
            _put(queue, last, future)
        return future


def _put(
    queue: "Queue[LogitsSlab | BaseException | _End]",
    item: LogitsSlab | BaseException | _End,
    future: Future[R],
) -> bool:
    """Put an item into the queue unless the export has ended; return whether it was put."""
    while not future.done():
        try:
            queue.put(item, timeout=PATIENCE_SECONDS)
        except Full:
            continue
        return True
    return False


def _drained(queue: "Queue[LogitsSlab | BaseException | _End]") -> Iterator[LogitsSlab]:
    """Yield what comes out of the queue up to its end; an error that was put in is raised."""
    while not isinstance(item := queue.get(), _End):
        if isinstance(item, BaseException):
            raise item
        yield item
