"""Export predictions to the original grid in a thread while the networks continue.

The networks run in the calling thread and the export runs in a background thread. A short queue
between them limits memory: the faster side waits for the slower one.
"""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from queue import Full, Queue
from typing import TypeAlias, TypeVar

from typing_extensions import override

from autoseg.inference.blending import LogitsSlab

R = TypeVar("R")

QUEUED_SLABS = 2
"""Maximum number of slabs in the queue."""

POLL_SECONDS = 0.1
"""Interval in seconds at which a full queue is checked for a failed export."""


SlabQueue: TypeAlias = "Queue[LogitsSlab | BaseException | None]"
"""Slabs, then an error of their computation or None."""


class ExportThread(ThreadPoolExecutor):
    """A background thread that exports images one after another; use it in a `with` block."""

    def __init__(self) -> None:
        super().__init__(1, thread_name_prefix="export")

    @override
    def __exit__(self, *error: object) -> None:
        self.shutdown(cancel_futures=True)

    def feed(
        self, slabs: Iterable[LogitsSlab], export: Callable[[Iterator[LogitsSlab]], R]
    ) -> Future[R]:
        """Run `export` in the thread, pass all slabs to it, and return its future.

        The slabs are computed in the calling thread. Errors of this computation are raised by the
        future. Errors of `export` are too, and stop the computation of further slabs.
        """
        queue: SlabQueue = Queue(QUEUED_SLABS)
        future = self.submit(export, _drain(queue))
        last: BaseException | None = None
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


def _put(queue: SlabQueue, item: LogitsSlab | BaseException | None, future: Future[R]) -> bool:
    """Put an item into the queue; return False if the export has ended before."""
    while not future.done():
        with suppress(Full):
            queue.put(item, timeout=POLL_SECONDS)
            return True
    return False


def _drain(queue: SlabQueue) -> Iterator[LogitsSlab]:
    """Yield slabs from the queue up to None; raise an error that is in the queue."""
    while (item := queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item
