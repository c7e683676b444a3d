"""The command line: which commands there are, and what becomes of errors."""

import faulthandler
import gc
import os
import sys
import time
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer

from autoseg.commands.benchmarking import bench
from autoseg.commands.demonstration import demo
from autoseg.commands.evaluation import evaluate
from autoseg.commands.importing import importing
from autoseg.commands.models import describe, export
from autoseg.commands.options import Command
from autoseg.commands.planning import plan, preprocess
from autoseg.commands.prediction import predict
from autoseg.commands.running import run
from autoseg.commands.selection import select
from autoseg.commands.testing import test
from autoseg.commands.training import train
from autoseg.core.crash_notes import CrashNotes
from autoseg.core.errors import AutosegError, Interrupted, issue_of_disk
from autoseg.core.signals import CRASHES, explained, signal_name
from autoseg.core.text import printable

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

COMMANDS = (
    run,
    plan,
    preprocess,
    train,
    select,
    predict,
    test,
    export,
    describe,
    evaluate,
    demo,
    bench,
)
"""In the order in which `autoseg --help` shows them."""

SHOW_CURSOR = "\x1b[?25h"
"""Has a terminal show the cursor, which a progress bar hides."""

for command in COMMANDS:
    app.command(cls=Command)(command)
app.add_typer(importing, name="import")


def _show_version(is_asked: bool) -> bool:  # noqa: FBT001  (typer calls it)
    if is_asked:
        from importlib.metadata import version

        typer.echo(f"autoseg {version('autoseg')}, torch {version('torch')}")
        raise typer.Exit
    return is_asked


@app.callback()
def about(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Self-configuring image segmentation: a folder of images and labels in, a model out.

    All at once: autoseg run DATASET. Step by step: autoseg plan DATASET; autoseg train DATASET
    --fold 0; autoseg predict IN OUT.
    """


def main() -> None:
    """Run the command line; user errors print one message and exit with status 1.

    Ctrl-C and SIGTERM, once the work is saved, exit with status 130. A command that a signal ends
    (its process is killed, or compiled code is at fault) is reported, with status 128 plus the
    signal's number, as in a shell.
    """
    _let_idle_threads_sleep()
    _compress_without_threads()
    notes = _supervised() if _is_supervised(sys.argv[1:]) else None
    try:
        app(obj=notes)
    except Interrupted as stop:
        typer.secho(printable(str(stop)), fg="yellow", err=True)
        sys.exit(130)
    except (AutosegError, OSError) as error:
        message = str(error) if isinstance(error, AutosegError) else issue_of_disk(error)
        if message is None:
            raise
        typer.secho(printable(f"error: {message}"), fg="red", err=True)
        sys.exit(1)
    finally:
        if notes is not None:
            notes.begin("exiting")
        gc.freeze()  # else Python looks through all that torch made for cycles before it ends


def _is_supervised(arguments: list[str]) -> bool:
    """True if a command line starts work that lack of memory or a crash in a library may end."""
    working = {command.__name__ for command in COMMANDS if command is not describe} | {"import"}
    return not working.isdisjoint(arguments[:1]) and "--help" not in arguments


def _supervised() -> CrashNotes | None:
    """Return the notes that the working process keeps of its stages.

    On Linux that is a child process; this one waits for it and exits. Elsewhere no child is made
    (Apple's frameworks cannot be used in a forked process) and tracebacks go to standard error.
    """
    if sys.platform != "linux":
        faulthandler.enable()
        return None
    from autoseg.core.supervision import supervised

    started = time.time()
    notes = CrashNotes()
    end = supervised()
    if end is not None:
        _exit_like(end, notes, started)
    faulthandler.enable(notes.fileno())
    return notes


def _exit_like(end: int, notes: CrashNotes, started: float) -> NoReturn:
    """Exit as the child process did, after reporting a signal that ended it or one of its workers.

    Args:
        end: Its exit status, or minus the number of the signal.
        notes: What it noted.
        started: When it started, in seconds since 1970.
    """
    record = notes.read()
    if end >= 0 and not record.tracebacks:
        sys.exit(end)
    from autoseg.core.crash_report import crash_message, save_crash_log

    how = f"Ended by {explained(-end)}." if end < 0 else "A worker process crashed."
    is_logged = end >= 0 or signal_name(-end) in {"SIGKILL", *CRASHES}
    log = save_crash_log(record, sys.argv[1:], started, how) if is_logged else None
    if end >= 0:
        _say_at_the_end(f"The crash log of a worker process is {log}", colour="yellow")
        sys.exit(end)
    name = sys.argv[1]
    message = crash_message(name, -end, record.stage, _options_of(name), log)
    _say_at_the_end(f"error: {message}", colour="red")
    sys.exit(128 - end)


def _options_of(command: str) -> frozenset[str]:
    group: Any = typer.main.get_command(app)
    return frozenset(name for option in group.commands[command].params for name in option.opts)


def _say_at_the_end(message: str, *, colour: str) -> None:
    """Print a message after the child's last output, which may be a bar with the cursor hidden."""
    with suppress(OSError):  # the terminal may be gone
        if sys.stdout.isatty():
            typer.echo(SHOW_CURSOR)
        typer.secho(printable(message), fg=colour, err=True)


def _let_idle_threads_sleep() -> None:
    """Have OpenMP threads sleep while they wait, unless the user has said otherwise.

    By default they spin, and where other processes share the cores (the batch loader, a second
    training, a laptop's browser) a spinning thread keeps the one it waits for from running: beside
    another training on the same 2 cores a step took 2.76 s, sleeping 0.45 s. OpenMP reads this
    when torch is loaded, which is later than here.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251


def _compress_without_threads() -> None:
    """Have Blosc2 start no threads, unless the user has said otherwise.

    Whatever a prepared case asks for, it compresses the place of every chunk with four threads of
    their own, which takes longer than the small case itself: 1.6 ms against 0.7 ms. Cases are
    prepared side by side anyway.
    """
    os.environ.setdefault("BLOSC_NTHREADS", "1")  # noqa: TID251
