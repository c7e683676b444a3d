"""The command line: which commands there are, and what becomes of errors."""

import gc
import os
import sys
from typing import Annotated

import typer

from autoseg.commands.benchmarking import bench
from autoseg.commands.demonstration import demo
from autoseg.commands.evaluation import evaluate
from autoseg.commands.importing import importing
from autoseg.commands.models import describe, export
from autoseg.commands.planning import plan, preprocess
from autoseg.commands.prediction import predict
from autoseg.commands.running import run
from autoseg.commands.selection import select
from autoseg.commands.testing import test
from autoseg.commands.training import train
from autoseg.core.errors import AutosegError, Interrupted, fault_of_disk
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

for command in COMMANDS:
    app.command()(command)
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

    Ctrl-C and SIGTERM, once the work is saved, exit with status 130.
    """
    _let_idle_threads_sleep()
    _compress_without_threads()
    try:
        app()
    except Interrupted as stop:
        typer.secho(printable(str(stop)), fg="yellow", err=True)
        sys.exit(130)
    except (AutosegError, OSError) as error:
        message = str(error) if isinstance(error, AutosegError) else fault_of_disk(error)
        if message is None:
            raise
        typer.secho(printable(f"error: {message}"), fg="red", err=True)
        sys.exit(1)
    finally:
        gc.freeze()  # else Python looks through all that torch made for cycles before it ends


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
