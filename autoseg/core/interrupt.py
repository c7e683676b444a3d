"""Turn Ctrl-C and SIGTERM into a question that long work asks between two steps."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

REPEAT_SECONDS = 0.5
"""A signal that comes again so soon is the same request: `timeout`, `kill` by job number and batch
systems send one to every process of a command, and the parent process then forwards its own."""

Handler = Callable[[int, FrameType | None], None]


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

    @_ignoring_repeats
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
        handler = _ignoring_repeats(signal.default_int_handler)
        previous = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _ignoring_repeats(handler: Handler) -> Handler:
    """Return a handler that ignores a signal within `REPEAT_SECONDS` after the same signal."""
    handled: dict[int, float] = {}

    def on_signal(number: int, frame: FrameType | None) -> None:
        now = monotonic()
        if now - handled.get(number, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            handled[number] = now
            handler(number, frame)

    return on_signal
