"""`autoseg test`."""
# ruff: noqa: PT028  (a command, not a test, despite its name)

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import (
    Cache,
    Dataset,
    Device,
    FoldOption,
    MirroringOption,
    Precision,
    Work,
    Workers,
    crash_notes,
    parse_folds,
    planned_dataset,
)
from autoseg.core.cache import cache_folder


def test(
    context: typer.Context,
    dataset: Dataset,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Model, as for predict --model.",
            show_default="the selected model in the work folder, else the trained one",
        ),
    ] = None,
    fold: FoldOption = None,
    mirroring: MirroringOption = True,
    cases: Annotated[
        bool, typer.Option("--cases", help="Also print the scores of every case.")
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    work: Work = None,
    workers: Workers = None,
    cache: Cache = None,
) -> None:
    """Segment and score the test cases of a dataset.

    Training never uses the test cases, so these are the scores to report.
    """
    from autoseg.core.compute import Compute
    from autoseg.core.formatting import format_count
    from autoseg.evaluation.table import case_rows, report_rows
    from autoseg.stages import test as stage
    from autoseg.stages.predict.predict import PredictOptions
    from autoseg.terminal import TerminalProgress, exit_on_issues

    workspace, spec = planned_dataset(dataset, work)
    progress = TerminalProgress(notes=crash_notes(context, workspace.root))
    options = PredictOptions(
        model=model,
        folds=parse_folds(fold),
        use_mirroring=mirroring,
        compute=Compute(device, precision, workers, cache_folder(cache)),
    )
    report = stage.test(workspace, spec, options, progress)
    if cases:
        progress.table("Cases", *case_rows(report))
    progress.table(format_count(len(report.cases), "test case"), *report_rows(report))
    progress.say(f"Label maps and scores: {workspace.test}")
    exit_on_issues([(issue.name, issue.message) for issue in report.issues])
