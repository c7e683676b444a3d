"""`autoseg doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared


def doctor(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(help="Folder in which work folders will be written.")
    ] = Path(),
    cache: shared.Cache = None,
) -> None:
    """Check this machine and installation.

    Try a convolution in each precision on each device. Bug reports need the output.
    """
    from autoseg.stages.doctor import diagnose

    progress = shared.terminal_progress(context, folder)
    found = diagnose(folder.resolve(), shared.compute_on("cpu", cache=cache).cache)
    for subject, text in found.facts:
        progress.say(f"{subject}: {text}")
    for text in found.problems:
        progress.say(f"problem: {text}")
    if found.problems:
        raise typer.Exit(1)
    progress.say("No problems found.")
