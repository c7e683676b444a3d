import resource
import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg.core import allocator
from autoseg.core.allocator import keep_freed_memory

PIECE = 20 << 20
ROUNDS = 5

linux = pytest.mark.skipif(sys.platform != "linux", reason="the setting is that of Linux")


def issues_of_allocating() -> int:
    """Return how many pages the system maps while the same memory is asked for several times."""
    np.ones(PIECE, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ROUNDS):
        np.ones(PIECE, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@linux
def test_memory_is_mapped_once() -> None:
    if allocator.gnu_library() is None:
        pytest.skip("the C library is not that of GNU")
    with keep_freed_memory():
        assert issues_of_allocating() < 100


@linux
def test_memory_is_given_back_afterwards() -> None:
    if allocator.gnu_library() is None:
        pytest.skip("the C library is not that of GNU")
    with keep_freed_memory():
        pieces = [np.ones(PIECE, np.uint8) for _ in range(8)]
        last = np.ones(1000, np.uint8)
        del pieces
        kept = resident_bytes()
    assert resident_bytes() < kept - 4 * PIECE
    del last


def test_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    with keep_freed_memory():
        entered = True
    assert entered


def resident_bytes() -> int:
    """Return how much memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
