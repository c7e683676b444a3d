"""Discard what compiled libraries print on standard error."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

STANDARD_ERROR = 2
"""File descriptor that compiled libraries print errors and warnings to."""


class _Discarding:
    """Discards standard error as long as at least one thread asks for it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._number = 0
        self._saved: int | None = None

    def begin(self) -> None:
        with self._lock:
            self._number += 1
            if self._number > 1:
                return
            with suppress(OSError):  # standard error is closed
                self._saved = os.dup(STANDARD_ERROR)
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, STANDARD_ERROR)
                os.close(null)

    def end(self) -> None:
        with self._lock:
            self._number -= 1
            if self._number == 0 and self._saved is not None:
                os.dup2(self._saved, STANDARD_ERROR)
                os.close(self._saved)
                self._saved = None


_DISCARDING = _Discarding()


@contextmanager
def discard_c_output() -> Iterator[None]:
    """Discard what is printed on standard error, by any thread, within a `with` statement.

    Libraries for image formats print messages there, in addition to raising exceptions.
    """
    _DISCARDING.begin()
    try:
        yield
    finally:
        _DISCARDING.end()
