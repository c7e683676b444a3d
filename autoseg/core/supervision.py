"""Do the work in a child process, so that its parent can report a signal that ends it (Linux).

Both processes stay in one process group. A terminal's Ctrl-C and Ctrl-Z therefore reach both, and
only signals that were sent to the parent alone must be forwarded.
"""

import os
import signal

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
"""Those of them that a key press sends to the whole process group."""

SI_KERNEL = 0x80
"""Code of a signal from the kernel, such as one from the terminal. Source: sigaction(2)."""


def supervised() -> int | None:
    """Fork, and return None in the child, which does the work; in the parent, how the child ended.

    That is the child's exit status, or the negative number of the signal that ended it. Call it
    while the process has a single thread. The child is killed if its parent dies.
    """
    watched = {*FORWARDED, signal.SIGCHLD}
    signal.signal(
        signal.SIGCHLD, signal.SIG_DFL
    )  # if inherited as ignored, no status would be kept
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        end_with_parent()
        if os.getppid() != parent:  # it died before the line above
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return None
    return _end_of(child, watched)


def _end_of(child: int, watched: set[signal.Signals]) -> int:
    """Forward signals until the child ends; return its exit status or minus its signal."""
    while True:
        received = signal.sigwaitinfo(watched)
        if received.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
        elif received.si_signo not in FROM_KEYBOARD or received.si_code != SI_KERNEL:
            os.kill(child, received.si_signo)
