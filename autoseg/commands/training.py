"""`autoseg train`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import (
    Cache,
    ConfigurationName,
    Dataset,
    Device,
    Precision,
    Work,
    Workers,
    cache_folder,
    crash_notes,
    fold_of,
    planned_workspace,
)


def train(
    context: typer.Context,
    dataset: Dataset,
    fold: Annotated[
        str, typer.Option(help="Which fold to hold out: a number, or all for none.")
    ] = "0",
    configuration: ConfigurationName = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Length in epochs.", show_default="1000")
    ] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Length in steps.")] = None,
    budget: Annotated[
        str | None, typer.Option(help="Length as a time, such as 30m, 8h or 1h30m.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, sampling and augmentation.")] = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    work: Work = None,
    workers: Workers = None,
    checkpoint_every: Annotated[str, typer.Option(help="How often to save.")] = "3m",
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what this fold was trained to.")
    ] = False,
    pretrained: Annotated[
        Path | None,
        typer.Option(
            help="Start from this model (as predict --model), where it fits, with a lower "
            "learning rate.",
            show_default="random weights",
        ),
    ] = None,
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Compile the network first (torch.compile): takes minutes."),
    ] = False,
    cache: Cache = None,
) -> None:
    """Train one fold and score it.

    The same command goes on where it stopped. At the end held-out cases are predicted and scored.
    """
    from autoseg.evaluation.table import calibration_lines, report_rows
    from autoseg.stages import train as stage
    from autoseg.stages.next_command import predict_command
    from autoseg.stages.training_duration import TrainingDuration, seconds_of
    from autoseg.stages.training_task import TrainRequest
    from autoseg.terminal import TerminalProgress, exit_if_any

    workspace = planned_workspace(dataset, work)
    progress = TerminalProgress(notes=crash_notes(context, workspace.root))
    request = TrainRequest(
        fold=fold_of(fold),
        configuration=configuration,
        length=TrainingDuration(epochs=epochs, iterations=iterations, budget=budget),
        seed=seed,
        precision=precision,
        device=device,
        workers=workers,
        checkpoint_seconds=seconds_of(checkpoint_every),
        restart=restart,
        pretrained=pretrained,
        compiled=compiled,
        cache=cache_folder(cache),
    )
    try:
        trained = stage.train(workspace, request, progress=progress)
    finally:
        progress.close()
    if trained.report is None:
        progress.say("No case was held out: how good this model is, no score says.")
        progress.say(f"The model is {trained.folder}; its curves are of cases that it knows")
        progress.say(f"Next: {predict_command(trained.folder)}")
        return
    progress.table(f"Held-out cases of fold {fold}", *report_rows(trained.report))
    for line in calibration_lines(trained.report):
        progress.say(line)
    progress.say(f"The model is {trained.folder.parent}; curves and scores lie in {trained.folder}")
    progress.say(f"Next: another --fold, or {predict_command(trained.folder.parent)}")
    exit_if_any([(issue.name, issue.message) for issue in trained.report.issues])
