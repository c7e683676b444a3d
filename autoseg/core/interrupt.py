"""Record stop requests (Ctrl-C, SIGTERM, SIGHUP) that long-running work checks between steps."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from types import FrameType

REPEAT_SECONDS = 0.5
"""A repeated signal within this time counts as the same request: `timeout`, `kill` by job number
and batch systems signal every process of a command, and the parent process also forwards its own
signal to its child."""

TERMINATING = (signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""Signals that end a process: of batch systems, and of a terminal or ssh session that closes."""

Handler = Callable[[int, FrameType | None], None]


@dataclass
class StopRequest:
    """A flag that is set when the user requests a stop; a second Ctrl-C stops at once."""

    is_requested: bool = False


@contextmanager
def listen_for_stop() -> Iterator[StopRequest]:
    """Yield a `StopRequest` that Ctrl-C, SIGTERM or SIGHUP sets; restore the handlers afterwards.

    Signals can only be handled in the main thread; in other threads, no signal sets the request.
    """
    stop = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_requested and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        stop.is_requested = True

    with _handled(on_signal, signal.SIGINT, *TERMINATING):
        yield stop


def interrupt_on_sigterm() -> AbstractContextManager[None]:
    """Raise KeyboardInterrupt on SIGTERM or SIGHUP within the block, so that cleanup code runs.

    For work that has nothing to save. Has no effect outside the main thread.
    """
    return _handled(signal.default_int_handler, *TERMINATING)


@contextmanager
def _handled(handler: Handler, *numbers: int) -> Iterator[None]:
    """Handle signals within the block; restore the previous handlers afterwards.

    SIGHUP stays ignored if the command was started to ignore it, as with `nohup`.
    """
    handler = _ignore_repeats(handler)
    ignored = {each for each in TERMINATING[1:] if signal.getsignal(each) == signal.SIG_IGN}
    previous = {}
    with suppress(ValueError):  # not the main thread
        previous = {each: signal.signal(each, handler) for each in numbers if each not in ignored}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)


def _ignore_repeats(handler: Handler) -> Handler:
    """Wrap a handler so that it ignores a signal repeated within `REPEAT_SECONDS`."""
    handled: dict[int, float] = {}

    def on_signal(number: int, frame: FrameType | None) -> None:
        now = monotonic()
        if now - handled.get(number, -REPEAT_SECONDS) >= REPEAT_SECONDS:
            handled[number] = now
            handler(number, frame)

    return on_signal
