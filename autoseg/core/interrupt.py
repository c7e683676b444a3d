"""Handle Ctrl-C and SIGTERM: record a stop request that long-running work checks between steps."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

REPEAT_SECONDS = 0.5
"""A repeated signal within this time counts as the same request: `timeout`, `kill` by job number
and batch systems signal every process of a command, and the parent process also forwards its own
signal to its child."""

Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """A flag that is set when the user requests a stop; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.is_requested = False

    def request(self) -> None:
        """Request a stop at the next opportunity."""
        self.is_requested = True


@contextmanager
def listen_for_stop() -> Iterator[StopRequest]:
    """Yield a `StopRequest` that Ctrl-C or SIGTERM sets; restore the handlers afterwards.

    Signals can only be handled in the main thread; in other threads, no signal sets the request.
    """
    stop = StopRequest()

    @_ignore_repeats
    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_requested and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        stop.request()

    previous = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, on_signal)
    except ValueError:  # not the main thread
        previous = {}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def interrupt_on_sigterm() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM within the block, so that cleanup code runs.

    For work that has nothing to save. Has no effect outside the main thread.
    """
    try:
        handler = _ignore_repeats(signal.default_int_handler)
        previous = signal.signal(signal.SIGTERM, handler)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _ignore_repeats(handler: Handler) -> Handler:
    """Wrap a handler so that it ignores a signal repeated within `REPEAT_SECONDS`."""
    handled: dict[int, float] = {}

    def on_signal(number: int, frame: FrameType | None) -> None:
        now = monotonic()
        if now - handled.get(number, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            handled[number] = now
            handler(number, frame)

    return on_signal
