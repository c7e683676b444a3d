"""`autoseg run`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import (
    Cache,
    Dataset,
    Device,
    LossName,
    NetworkName,
    Precision,
    Work,
    Workers,
    cache_folder,
    crash_notes,
    workspace_of,
)
from autoseg.commands.selection import show_selection


def run(
    context: typer.Context,
    dataset: Dataset,
    budget: Annotated[
        str | None,
        typer.Option(
            help="Time for everything, such as 30m, 8h or 2d.", show_default="as long as it takes"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Model file to write.", show_default="in the work folder"
        ),
    ] = None,
    configuration: Annotated[
        list[str] | None,
        typer.Option(
            "--configuration",
            "-c",
            help="Train this one; repeatable.",
            show_default="those worth it",
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=1.0,
            help="Accelerator memory to plan for, GiB.",
            show_default="the accelerator's, or 8 without one",
        ),
    ] = None,
    network: NetworkName = None,
    loss: LossName = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, sampling and augmentation.")] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    work: Work = None,
    workers: Workers = None,
    skip_bad_cases: Annotated[
        bool, typer.Option("--skip-bad-cases", help="Go on without cases that have issues.")
    ] = False,
    cache: Cache = None,
) -> None:
    """Do it all, from the dataset to a scored model file.

    It checks, plans, trains every fold, selects, writes the model file, and scores it on the test
    cases if there are some. Interrupted anywhere, the same command goes on where it stopped.
    """
    from autoseg.core.text import counted
    from autoseg.evaluation.table import report_rows
    from autoseg.stages import run as stage
    from autoseg.stages.next_command import predict_command
    from autoseg.stages.training_duration import seconds_of
    from autoseg.terminal import TerminalProgress, exit_if_any

    workspace = workspace_of(dataset, work)
    progress = TerminalProgress(notes=crash_notes(context, workspace.root))
    request = stage.RunRequest(
        budget_seconds=None if budget is None else seconds_of(budget),
        configurations=tuple(configuration) if configuration else None,
        network=network,
        loss=loss,
        memory_gib=memory,
        output=output,
        seed=seed,
        device=device,
        precision=precision,
        workers=workers,
        skip_bad_cases=skip_bad_cases,
        cache=cache_folder(cache),
    )
    try:
        finished = stage.run(dataset, workspace, request, progress=progress)
    finally:
        progress.close()
    show_selection(progress, workspace, finished.selection)
    if finished.test is not None:
        progress.table(counted(len(finished.test.cases), "test case"), *report_rows(finished.test))
    size = finished.model.stat().st_size / 1e6
    progress.say(f"The model is {finished.model} ({size:.1f} MB)")
    progress.say(f"Next: {predict_command(finished.model)}")
    issues = () if finished.test is None else finished.test.issues
    exit_if_any([*finished.issues, *((issue.name, issue.message) for issue in issues)])
