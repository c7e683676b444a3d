"""`autoseg run`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared
from autoseg.commands import tracking
from autoseg.commands.reporting import AUTOMATIC_SECONDS, save_report
from autoseg.commands.selection import show_selection
from autoseg.core.crash_notes import CrashNotes


@shared.with_layout
def run(
    context: typer.Context,
    dataset: shared.Dataset,
    budget: Annotated[
        str | None,
        typer.Option(help="Total time, such as 30m, 8h or 2d.", show_default="no limit"),
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
            help="Configuration to train; repeatable.",
            show_default="chosen automatically",
        ),
    ] = None,
    memory: shared.Memory = None,
    network: shared.NetworkName = None,
    loss: shared.LossName = None,
    loss_weighting: shared.LossWeightingOption = "planned",
    augmentation: shared.Augmentation = None,
    seed: shared.Seed = 0,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    work: shared.Work = None,
    workers: shared.Workers = None,
    skip_bad_cases: shared.SkipBadCases = False,
    layout: shared.Layout = shared.Layout(),  # noqa: B008  (the options have the defaults)
    track: tracking.Track = None,
    tracking_uri: tracking.TrackingUri = None,
    cache: shared.Cache = None,
) -> None:
    """Run all steps, from the dataset to a scored model file.

    Check the dataset, plan, train every fold, select a model, write the model file, and score it
    on the test cases, if any. After an interruption, the same command resumes where it stopped.
    """
    from autoseg.core.formatting import format_count, format_megabytes
    from autoseg.evaluation.table import report_rows
    from autoseg.stages.next_command import predict_command
    from autoseg.stages.plan.fingerprint import DatasetChoices
    from autoseg.stages.plan.plan import PlanRequest
    from autoseg.stages.run import run as stage
    from autoseg.stages.run.request import RunRequest
    from autoseg.stages.train.duration import parse_duration
    from autoseg.terminal import exit_on_issues

    workspace = shared.workspace_of(dataset, work)
    progress = shared.terminal_progress(context, workspace.root)
    notes = context.find_object(CrashNotes)
    request = RunRequest(
        started=None if notes is None else notes.started,
        budget_seconds=None if budget is None else parse_duration(budget),
        configurations=tuple(configuration) if configuration else None,
        planning=PlanRequest(
            network, loss, memory, augmentation=augmentation, loss_weighting=loss_weighting
        ),
        output=output,
        seed=seed,
        compute=shared.compute_on(device, precision, workers, cache),
        choices=DatasetChoices(layout.options(dataset), skip_bad_cases),
        trackers=tracking.parse_trackers(context, track, tracking_uri),
    )
    try:
        finished = stage.run(dataset, workspace, request, progress=progress)
    finally:
        progress.close()
    show_selection(progress, workspace, finished.selected)
    if finished.test is not None:
        progress.table(
            format_count(len(finished.test.cases), "test case"), *report_rows(finished.test)
        )
    size = format_megabytes(finished.model.stat().st_size)
    progress.say(f"Model file: {finished.model} ({size})")
    left = finished.schedule.seconds_left
    seconds = AUTOMATIC_SECONDS if left is None else min(left, AUTOMATIC_SECONDS)
    save_report(progress, workspace, shared.workers_or_default(workers), seconds)
    progress.say(f"Next: {predict_command(finished.model)}")
    issues = () if finished.test is None else finished.test.issues
    exit_on_issues([*finished.issues, *((issue.name, issue.message) for issue in issues)])
