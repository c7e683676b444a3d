"""`autoseg test`."""
# ruff: noqa: PT028  (a command, not a test, despite its name)

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands import options as shared


def test(
    context: typer.Context,
    dataset: shared.Dataset,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Model, as for predict --model.",
            show_default="the selected model in the work folder, else the trained one",
        ),
    ] = None,
    fold: shared.FoldOption = None,
    mirroring: shared.MirroringOption = True,
    cases: shared.ShowCases = False,
    device: shared.Device = "auto",
    precision: shared.Precision = "auto",
    work: shared.Work = None,
    workers: shared.Workers = None,
    cache: shared.Cache = None,
) -> None:
    """Segment and score the test cases of a dataset.

    Training never uses the test cases, so these are the scores to report.
    """
    from autoseg.core.formatting import format_count
    from autoseg.evaluation.table import case_rows, report_rows
    from autoseg.stages import test as stage
    from autoseg.stages.predict.predict import PredictOptions
    from autoseg.terminal import exit_on_issues

    workspace, spec = shared.planned_dataset(dataset, work)
    progress = shared.terminal_progress(context, workspace.root)
    options = PredictOptions(
        model=model,
        folds=shared.parse_folds(fold),
        use_mirroring=mirroring,
        compute=shared.compute_on(device, precision, workers, cache),
    )
    report = stage.test(workspace, spec, options, progress)
    if cases:
        progress.table("Cases", *case_rows(report))
    progress.table(format_count(len(report.cases), "test case"), *report_rows(report))
    progress.say(f"Label maps and scores: {workspace.test}")
    exit_on_issues([(issue.name, issue.message) for issue in report.issues])
