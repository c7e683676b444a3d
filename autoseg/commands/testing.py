"""`autoseg test`."""
# ruff: noqa: PT028  (a command and not a test, in spite of its name)

from pathlib import Path
from typing import Annotated

import typer

from autoseg.commands.options import (
    Cache,
    Dataset,
    Device,
    FoldOption,
    Precision,
    Work,
    Workers,
    cache_folder,
    crash_notes,
    folds_of,
    planned_workspace,
    workers_or_default,
)


def test(
    context: typer.Context,
    dataset: Dataset,
    model: Annotated[
        Path | None,
        typer.Option(
            help="As for predict --model.",
            show_default="what was selected, or trained, in the work folder",
        ),
    ] = None,
    fold: FoldOption = None,
    mirroring: Annotated[
        bool, typer.Option(help="Average over mirrored images: slower, a little better.")
    ] = True,
    cases: Annotated[bool, typer.Option("--cases", help="Also list every case.")] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    work: Work = None,
    workers: Workers = None,
    cache: Cache = None,
) -> None:
    """Segment and score a dataset's test cases.

    They are never trained on, so these are the scores to report.
    """
    from autoseg.core.text import counted
    from autoseg.evaluation.table import case_rows, report_rows
    from autoseg.stages import test as stage
    from autoseg.stages.predict import PredictOptions
    from autoseg.terminal import TerminalProgress, exit_if_any

    workspace = planned_workspace(dataset, work)
    progress = TerminalProgress(notes=crash_notes(context, workspace.root))
    options = PredictOptions(
        model=model,
        device=device,
        precision=precision,
        folds=folds_of(fold),
        use_mirroring=mirroring,
        workers=workers_or_default(workers),
        cache=cache_folder(cache),
    )
    report = stage.test(workspace, options, progress)
    if cases:
        progress.table("Cases", *case_rows(report))
    progress.table(counted(len(report.cases), "test case"), *report_rows(report))
    progress.say(f"Label maps and scores lie in {workspace.test}")
    exit_if_any([(issue.name, issue.message) for issue in report.issues])
