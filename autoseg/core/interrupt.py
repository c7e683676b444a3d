"""Turn Ctrl-C and SIGTERM into a question that long work asks between two steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether someone asked the work to stop; a second Ctrl-C stops it at once."""

    def __init__(self) -> None:
        self.is_made = False

    def make(self) -> None:
        """Ask for a stop at the next good moment."""
        self.is_made = True


@contextmanager
def listening() -> Iterator[StopRequest]:
    """Give a `StopRequest` that Ctrl-C or SIGTERM makes; signals mean what they did afterwards.

    Only a program's main thread can listen; elsewhere the request is never made by a signal.
    """
    request = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if request.is_made and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        request.make()

    previous = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, on_signal)
    except ValueError:  # not the main thread
        previous = {}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Make SIGTERM raise what Ctrl-C raises, so that work with nothing to save cleans up behind it.

    Only a program's main thread can listen; elsewhere SIGTERM means what it did.
    """
    try:
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
