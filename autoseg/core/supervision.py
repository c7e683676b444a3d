"""Run the command in a child process, so that its parent can report a fatal signal (Linux).

Both processes are in one process group. Ctrl-C and Ctrl-Z in a terminal reach both, so only signals
that were sent to the parent alone are forwarded.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress

from autoseg.core.signals import end_with_parent

FORWARDED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals that the parent forwards. SIGTSTP, SIGSTOP and SIGCONT keep their default action:
terminals and batch systems send them to both processes."""

FROM_KEYBOARD = (signal.SIGINT, signal.SIGQUIT)
"""Forwarded signals that a key press sends to the whole process group."""

SI_KERNEL = 0x80
"""`si_code` of a signal from the kernel, such as one from the terminal. Source: sigaction(2)."""


WATCH_SECONDS = 2.0
"""Interval of `watch` while the parent waits."""


def fork_supervised(watch: Callable[[], object]) -> int | None:
    """Fork a child process that runs the command, and wait for it in the parent.

    Must be called while the process has a single thread. The child is killed if its parent dies.

    Args:
        watch: Called in the parent every `WATCH_SECONDS`.

    Returns:
        None in the child. In the parent, the child's exit status, or the negative number of the
        signal that ended it.
    """
    watched = {*FORWARDED, signal.SIGCHLD}
    # If SIGCHLD was inherited as ignored, the system would discard the child's exit status
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        end_with_parent()
        if os.getppid() != parent:  # the parent died before the line above
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return None
    return _wait_for(child, watched, watch)


def _wait_for(child: int, watched: set[signal.Signals], watch: Callable[[], object]) -> int:
    """Forward signals until the child ends; return its exit status, or minus the signal."""
    while True:
        received = signal.sigtimedwait(watched, WATCH_SECONDS)
        if received is None:
            with suppress(Exception):  # the command would be killed with its parent
                watch()
        elif received.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        elif received.si_signo not in FROM_KEYBOARD or received.si_code != SI_KERNEL:
            os.kill(child, received.si_signo)
