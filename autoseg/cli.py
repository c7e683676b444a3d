"""The command line: its commands, and how errors are reported."""

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
from autoseg.commands.diagnosing import doctor
from autoseg.commands.evaluation import EvaluateCommand, evaluate
from autoseg.commands.importing import importing
from autoseg.commands.inspecting import inspect
from autoseg.commands.models import describe, export
from autoseg.commands.options import Command, with_image_limit
from autoseg.commands.planning import plan, preprocess
from autoseg.commands.prediction import predict
from autoseg.commands.ranking import rank
from autoseg.commands.registry import models
from autoseg.commands.reporting import report
from autoseg.commands.running import run
from autoseg.commands.selection import select
from autoseg.commands.serving import serve
from autoseg.commands.testing import test
from autoseg.commands.training import train
from autoseg.commands.viewing import view
from autoseg.core.closed_terminal import survive_closed_terminal
from autoseg.core.crash_notes import CrashNotes
from autoseg.core.errors import AutosegError, Interrupted, case_error_message, system_error
from autoseg.core.formatting import printable
from autoseg.core.memory import AvailableMemory, MemoryWatch, OutOfMemoryKills
from autoseg.core.signals import CRASHES, describe_end, signal_name

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)

COMMANDS = (
    run,
    inspect,
    plan,
    preprocess,
    train,
    select,
    predict,
    test,
    export,
    describe,
    evaluate,
    report,
    view,
    rank,
    serve,
    demo,
    bench,
    doctor,
)
"""Commands in the order of `autoseg --help`."""

SHOW_CURSOR = "\x1b[?25h"
"""Makes a terminal show the cursor again, which a progress bar hides."""

CLEAR_LINE = "\r\x1b[2K"
"""Makes a terminal clear the current line."""

for command in COMMANDS:
    reads_images = command not in (describe, export)
    app.command(cls=EvaluateCommand if command is evaluate else Command)(
        with_image_limit(command) if reads_images else command
    )
app.add_typer(importing, name="import")
app.add_typer(models, name="models")


def _show_version(is_requested: bool) -> bool:  # noqa: FBT001  (typer calls it)
    if is_requested:
        from importlib.metadata import version

        typer.echo(f"autoseg {version('autoseg')}, torch {version('torch')}")
        raise typer.Exit
    return is_requested


@app.callback()
def about(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Self-configuring image segmentation: from a folder of images and labels to a model.

    Whole workflow: autoseg run DATASET. Step by step: autoseg plan DATASET; autoseg train DATASET
    --fold 0; autoseg predict IN OUT.
    """


def main() -> None:
    """Run the command line.

    A user error prints one message and exits with status 1. Ctrl-C and SIGTERM exit with status
    130 after the work is saved. If a signal ends the command (the process was killed, or compiled
    code crashed), a report is printed and the status is 128 plus the signal number, as in a shell.
    """
    _use_passive_openmp_waiting()
    _disable_blosc_threads()
    _silence_trackers()
    survive_closed_terminal()
    notes = _supervised() if is_supervised(sys.argv[1:]) else None
    try:
        app(obj=notes)
    except Interrupted as stop:
        _print_after_exit(str(stop), colour="yellow")
        sys.exit(130)
    except (AutosegError, OSError, RuntimeError) as error:
        if not isinstance(error, AutosegError) and system_error(error) is None:
            raise
        message = case_error_message(error)
        _print_after_exit(f"error: {message}", colour="red")
        sys.exit(1)
    finally:
        if notes is not None:
            notes.begin("exiting")
        gc.freeze()  # skips a final search for reference cycles in all objects of torch


def is_supervised(arguments: list[str]) -> bool:
    """Return True if the command may be ended by lack of memory or a crash in a library."""
    supervised = {command.__name__ for command in COMMANDS if command is not describe} | {"import"}
    return not supervised.isdisjoint(arguments[:1]) and "--help" not in arguments


def _supervised() -> CrashNotes | None:
    """Start supervision, and return the crash notes in which a command records its stages.

    On Linux, the command runs in a child process; the parent waits for it and exits. Elsewhere no
    child is started (Apple's frameworks cannot be used in a forked process), the result is None,
    and tracebacks go to standard error.
    """
    if sys.platform != "linux":
        faulthandler.enable()
        return None
    from autoseg.core.reading_process import READING
    from autoseg.core.supervision import fork_supervised

    started, kills, notes = time.time(), OutOfMemoryKills.until_now(), CrashNotes()
    end = fork_supervised(MemoryWatch(_warn_of_low_memory).check)
    if end is not None:
        _exit_like(end, notes, started, kills)
    READING.enable()
    faulthandler.enable(notes.fileno())
    return notes


def _warn_of_low_memory(memory: AvailableMemory) -> None:
    """Warn that the command, which is running, may be killed; called in its parent process."""
    from autoseg.core.crash_report import memory_advice

    name = sys.argv[1]
    message = f"warning: only {memory}; the system kills autoseg {name} when it runs out."
    advice = memory_advice(name, _options_of(name))
    _print_from_parent(f"{message} {advice}".rstrip(), colour="yellow")


def _exit_like(end: int, notes: CrashNotes, started: float, kills: OutOfMemoryKills) -> NoReturn:
    """Exit like the child process, after reporting a signal that ended it or one of its workers.

    Args:
        end: Exit status of the child, or minus the number of the signal.
        notes: Crash notes of the child.
        started: Start time of the child, in seconds since 1970.
        kills: Counters at that time.
    """
    record = notes.read()
    if end >= 0 and not record.tracebacks:
        sys.exit(end)
    from autoseg.core.crash_report import crash_message, save_crash_log

    ending = describe_end(-end, kills) if end < 0 else ""
    cause = f"The command was {ending}." if ending else "A worker process crashed."
    is_logged = end >= 0 or signal_name(-end) in {"SIGKILL", *CRASHES}
    log = save_crash_log(record, sys.argv[1:], started, cause) if is_logged else None
    if end >= 0:
        _print_after_exit(f"The crash log of a worker process is {log}", colour="yellow")
        sys.exit(end)
    name = sys.argv[1]
    message = crash_message(name, -end, ending, record.stage, _options_of(name), log)
    _print_after_exit(f"error: {message}", colour="red")
    sys.exit(128 - end)


def _options_of(command: str) -> frozenset[str]:
    group: Any = typer.main.get_command(app)
    return frozenset(name for option in group.commands[command].params for name in option.opts)


def _print_after_exit(message: str, *, colour: str) -> None:
    """Print a message after the child's last output; a progress bar may have hidden the cursor."""
    _print_from_parent(message, colour=colour, before=f"{SHOW_CURSOR}\n")


def _print_from_parent(message: str, *, colour: str, before: str = CLEAR_LINE) -> None:
    """Print a message in place of the last line of a terminal, which may be a progress bar."""
    with suppress(OSError):  # the terminal may be gone
        if sys.stdout.isatty():
            typer.echo(before, nl=False)
        typer.secho(printable(message), fg=colour, err=True)


def _use_passive_openmp_waiting() -> None:
    """Make idle OpenMP threads sleep, unless the user has set `OMP_WAIT_POLICY`.

    By default idle threads spin. If other processes share the cores (the batch loader, a second
    training, a browser), a spinning thread blocks the core that the thread it waits for needs:
    with a second training on the same 2 cores, a step took 2.76 s with spinning threads and 0.45 s
    with sleeping ones. OpenMP reads the variable when torch is loaded, which happens later.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # noqa: TID251


def _disable_blosc_threads() -> None:
    """Stop Blosc2 from starting threads, unless the user has set `BLOSC_NTHREADS`.

    Regardless of the parameters of a prepared case, Blosc2 starts four extra threads to compress
    the chunk offsets. For a small case this takes longer than the case itself: 1.6 ms against
    0.7 ms. Cases are prepared in parallel processes anyway.
    """
    os.environ.setdefault("BLOSC_NTHREADS", "1")  # noqa: TID251


def _silence_trackers() -> None:
    """Keep experiment trackers from reporting to their makers and printing, unless the user did.

    MLflow sends statistics of its use, and wandb crash reports, which may have paths of the
    machine. MLflow prints the address of every run when it ends.
    """
    for name, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"),
        ("WANDB_ERROR_REPORTING", "false"),
    ):
        os.environ.setdefault(name, value)  # noqa: TID251
