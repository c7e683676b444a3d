"""`autoseg evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import Workers, workers_or_default


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.")],
    references: Annotated[Path, typer.Argument(help="Folder of what they should be.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Surface distance that NSD forgives, mm.",
            show_default="one voxel along each case's coarsest axis",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Dataset, dataset.json or plan.json that tells regions and ignored values.",
            show_default="every value but 0 is a class",
        ),
    ] = None,
    cases: Annotated[bool, typer.Option("--cases", help="Also list every case.")] = False,
    workers: Workers = None,
) -> None:
    """Score label maps: Dice, IoU, HD95, ASSD and NSD."""
    from autoseg.core.counting import counted
    from autoseg.evaluation.table import case_rows, report_rows
    from autoseg.stages import evaluate as stage
    from autoseg.stages.known_labels import known_labels
    from autoseg.terminal import TerminalProgress, exit_if_any

    progress = TerminalProgress()
    processes = workers_or_default(workers)
    report = stage.evaluate(
        predictions,
        references,
        labels=None if labels is None else known_labels(labels, workers=max(1, processes)),
        tolerance_mm=tolerance,
        workers=processes,
        progress=progress,
    )
    if cases:
        progress.table("Cases", *case_rows(report))
    progress.table(counted(len(report.cases), "case"), *report_rows(report))
    for name in report.missing_predictions:
        progress.say(f"no prediction: {name}")
    for name in report.missing_references:
        progress.say(f"no reference: {name}")
    progress.say(f"Saved as {predictions / stage.REPORT_NAME}")
    exit_if_any([(fault.name, fault.message) for fault in report.faults])
