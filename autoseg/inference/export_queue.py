"""Export predictions to the original grid in a thread while the networks continue.

The networks run in the calling thread and the export runs in a background thread. A short queue
between them limits memory: the faster side waits for the slower one.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from types import TracebackType
from typing import TypeVar

from autoseg.inference.blending import LogitsSlab

R = TypeVar("R")

QUEUED_SLABS = 2
"""Maximum number of slabs in the queue."""

POLL_SECONDS = 0.1
"""Interval in seconds at which a full queue is checked for a failed export."""


class _End:
    """Marks the end of the slabs in the queue."""


class ExportThread:
    """A background thread that exports images one after another; use it in a `with` block."""

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
        """Schedule a function to run after all exports so far, and return its future."""
        return self._pool.submit(work)

    def feed(
        self, slabs: Iterable[LogitsSlab], export: Callable[[Iterator[LogitsSlab]], R]
    ) -> Future[R]:
        """Run `export` in the thread, pass all slabs to it, and return its future.

        The slabs are computed in the calling thread. Errors of this computation are raised by the
        future. Errors of `export` are too, and stop the computation of further slabs.
        """
        queue: Queue[LogitsSlab | BaseException | _End] = Queue(QUEUED_SLABS)
        future = self._pool.submit(lambda: export(_drain(queue)))
        last: BaseException | _End = _End()
        try:
            for slab in slabs:
                if not _put(queue, slab, future):
                    break
        except BaseException as error:
            last = error
            if not isinstance(error, Exception):  # Ctrl-C stops the program, not only this image
                raise
        finally:
            _put(queue, last, future)
        return future


def _put(
    queue: "Queue[LogitsSlab | BaseException | _End]",
    item: LogitsSlab | BaseException | _End,
    future: Future[R],
) -> bool:
    """Put an item into the queue; return False if the export has ended before."""
    while not future.done():
        try:
            queue.put(item, timeout=POLL_SECONDS)
        except Full:
            continue
        return True
    return False


def _drain(queue: "Queue[LogitsSlab | BaseException | _End]") -> Iterator[LogitsSlab]:
    """Yield slabs from the queue up to the end marker; raise an error that is in the queue."""
    while not isinstance(item := queue.get(), _End):
        if isinstance(item, BaseException):
            raise item
        yield item
