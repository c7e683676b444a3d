"""Signals that end a process: names and usual meanings."""

import signal
import sys

from autoseg.core.memory import OutOfMemoryKills

CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"})
"""Signals of a crash in compiled code, for which faulthandler writes tracebacks."""

MEANINGS = {
    "SIGKILL": "usually because memory ran out",
    "SIGSEGV": "an invalid memory access in compiled code",
    "SIGBUS": "a failed memory access in compiled code, or a full disk",
    "SIGILL": "an instruction that this processor does not have",
    "SIGFPE": "an arithmetic error in compiled code",
    "SIGABRT": "a library stopped the process",
}
"""Usual meaning of signals; keyed by name because not every system has all of them."""

PR_SET_PDEATHSIG = 1
"""prctl option: send this process a signal when its parent dies (Linux). Source: prctl(2)."""


def signal_name(number: int) -> str:
    """Return the name of a signal, e.g. `SIGKILL`."""
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"


def describe_end(number: int, before: OutOfMemoryKills) -> str:
    """Describe the end of a process by a signal, e.g. `ended by SIGABRT (a library stopped …)`.

    Args:
        number: Number of the signal.
        before: Counters from a time when the process ran.
    """
    name = signal_name(number)
    if name == "SIGKILL" and (cause := before.cause_since()):
        return f"killed because {cause}"
    meaning = MEANINGS.get(name) or signal.strsignal(number)
    return f"ended by {name} ({meaning})" if meaning else f"ended by {name}"


def end_with_parent() -> None:
    """Kill this process when the thread that started it ends (Linux only)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
