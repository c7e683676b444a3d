"""`autoseg train`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared
from autoseg.commands import tracking
from autoseg.commands.reporting import save_report


def train(
    context: typer.Context,
    dataset: shared.Dataset,
    fold: Annotated[
        str, typer.Option(help="Fold to hold out: a number, or all to train on every case.")
    ] = "0",
    configuration: shared.ConfigurationName = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of epochs to train.", show_default="1000")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Number of optimiser steps to train.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time to train, such as 30m, 8h or 1h30m.")
    ] = None,
    seed: shared.Seed = 0,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    work: shared.Work = None,
    workers: shared.Workers = None,
    checkpoint_every: Annotated[
        str, typer.Option(help="Time between two checkpoints, such as 90s or 3m.")
    ] = "3m",
    restart: Annotated[
        bool, typer.Option("--restart", help="Discard this fold's checkpoint and retrain.")
    ] = False,
    pretrained: Annotated[
        Path | None,
        typer.Option(
            help="Model to fine-tune, as for predict --model: start from the weights that fit, "
            "with a lower learning rate.",
            show_default="random initialisation",
        ),
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the network with torch.compile before training; takes minutes.",
        ),
    ] = False,
    track: tracking.Track = None,
    tracking_uri: tracking.TrackingUri = None,
    cache: shared.Cache = None,
) -> None:
    """Train one fold and score its held-out cases.

    After an interruption, the same command resumes from the last checkpoint.
    """
    from autoseg.evaluation.table import calibration_lines, report_rows
    from autoseg.stages.next_command import predict_command
    from autoseg.stages.train import train as stage
    from autoseg.stages.train.duration import TrainingDuration, parse_duration
    from autoseg.stages.train.task import TrainRequest
    from autoseg.terminal import exit_on_issues
    from autoseg.tracking.tracked import Tracking

    trackers = tracking.parse_trackers(context, track, tracking_uri)
    workspace, spec = shared.planned_dataset(dataset, work)
    progress = shared.terminal_progress(context, workspace.root)
    request = TrainRequest(
        fold=shared.parse_fold(fold),
        configuration=configuration,
        length=TrainingDuration(epochs=epochs, iterations=iterations, budget=budget),
        seed=seed,
        compute=shared.compute_on(device, precision, workers, cache),
        checkpoint_seconds=parse_duration(checkpoint_every),
        restart=restart,
        pretrained=pretrained,
        compiled=compiled,
        tracking=Tracking(trackers),
    )
    try:
        trained = stage.train(workspace, request, progress=progress, dataset=spec)
    finally:
        progress.close()
    processes = shared.workers_or_default(workers)
    if trained.report is None:
        progress.say("No cases were held out, so there is no validation score.")
        progress.say(f"The model is {trained.folder}; its curves are computed on training cases")
        save_report(progress, workspace, processes)
        progress.say(f"Next: {predict_command(trained.folder)}")
        return
    progress.table(f"Held-out cases of fold {fold}", *report_rows(trained.report))
    for line in calibration_lines(trained.report):
        progress.say(line)
    progress.say(f"The model is {trained.folder.parent}; curves and scores: {trained.folder}")
    save_report(progress, workspace, processes)
    progress.say(f"Next: another --fold, or {predict_command(trained.folder.parent)}")
    exit_on_issues([(issue.name, issue.message) for issue in trained.report.issues])
