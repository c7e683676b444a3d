"""`autoseg demo`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Output folder.")] = Path("autoseg_demo"),
    budget: Annotated[
        str, typer.Option(help="Training time for each of the two datasets.")
    ] = "50s",
    device: shared.Device = "auto",
    cache: shared.Cache = None,
) -> None:
    """Run the whole pipeline on small synthetic datasets."""
    from autoseg.evaluation.table import report_rows
    from autoseg.stages import demo as stage

    progress = shared.terminal_progress(context, folder)
    try:
        compute = shared.compute_on(device, cache=cache)
        results = stage.demo(folder, budget=budget, compute=compute, progress=progress)
    finally:
        progress.close()
    for result in results:
        progress.table(f"{result.name}: unseen cases", *report_rows(result.report))
        progress.say(f"Overlay picture: {result.overlay}")
    progress.say("Next, with your own dataset: autoseg run DATASET --budget 1h")
