"""Signals that end a process: their names and what they usually mean."""

import signal
import sys

CRASHES = frozenset({"SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT"})
"""Signals of a crash in compiled code, for which faulthandler writes tracebacks."""

MEANINGS = {
    "SIGKILL": "most often because memory ran out",
    "SIGSEGV": "an invalid memory access in compiled code",
    "SIGBUS": "a failed memory access in compiled code, or a full disk",
    "SIGILL": "an instruction that this processor does not have",
    "SIGFPE": "an arithmetic error in compiled code",
    "SIGABRT": "a library stopped the process",
}
"""What a signal usually means; names, reason not every system has all of them."""

PR_SET_PDEATHSIG = 1
"""Ask Linux for a signal when the parent dies. Source: prctl(2)."""


def signal_name(number: int) -> str:
    """Return the name of a signal, e.g. `SIGKILL`."""
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return f"signal {number}"


def explained(number: int) -> str:
    """Return the name of a signal with its usual meaning, e.g. `SIGABRT (a library stopped …)`."""
    name = signal_name(number)
    meaning = MEANINGS.get(name) or signal.strsignal(number)
    return f"{name} ({meaning})" if meaning else name


def end_with_parent() -> None:
    """Have Linux kill this process when the thread that started it ends; no effect elsewhere."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
