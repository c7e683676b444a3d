"""Signals that end a process: names and usual meanings."""

import signal
import sys

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


def describe_signal(number: int) -> str:
    """Return the name and usual meaning of a signal, e.g. `SIGABRT (a library stopped …)`."""
    name = signal_name(number)
    meaning = MEANINGS.get(name) or signal.strsignal(number)
    return f"{name} ({meaning})" if meaning else name


def end_with_parent() -> None:
    """Kill this process when the thread that started it ends (Linux only)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
