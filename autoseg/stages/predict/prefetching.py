"""Read and prepare the next image while the networks predict another one."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from autoseg.core.errors import CaseError
from autoseg.core.memory import available_bytes
from autoseg.datasets.inputs import InputCase
from autoseg.preprocessing.memory import reading_bytes
from autoseg.readers import read_header
from autoseg.stages.predict.tasks import CaseTask

PREFETCHED_CASES = 1
"""Images that are read and prepared while the networks predict another one."""

PREFETCH_MEMORY_SHARE = 1 / 8
"""Maximum share of the free memory that a prefetched image may need. Reading a larger image takes a
small part of its total time, but prefetching it would double the memory."""

R = TypeVar("R")


def prefetched(
    function: Callable[[CaseTask], R], tasks: Iterable[CaseTask]
) -> Iterator[tuple[CaseTask, Future[R]]]:
    """Yield each task with the future result of `function`, computed ahead in a thread.

    A large image is not prefetched: it waits until all images before it are predicted.
    """
    waiting: deque[tuple[CaseTask, Future[R]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="prepare") as pool:
        for task in tasks:
            if waiting and _is_large(task.case):
                while waiting:
                    yield waiting.popleft()
            waiting.append((task, pool.submit(function, task)))
            if len(waiting) > PREFETCHED_CASES:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()


def _is_large(case: InputCase) -> bool:
    """Return True if reading a case needs a large share of the free memory; False if unknown."""
    available = available_bytes()
    if available is None or case.issue:
        return False
    try:
        headers = [read_header(path) for path in case.images]
    except CaseError:  # reading the image will raise the error
        return False
    channels = sum(header.num_channels for header in headers)
    size = max(header.voxel_bytes for header in headers)
    return reading_bytes(headers[0].shape, channels, size) > PREFETCH_MEMORY_SHARE * available
