"""`autoseg report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.commands import options as shared

if TYPE_CHECKING:
    from autoseg.documents.workspace import Workspace
    from autoseg.terminal import TerminalProgress


AUTOMATIC_SECONDS = 20.0
"""Time in which the report after another command reads cases; `autoseg report` reads all."""


def save_report(
    progress: "TerminalProgress",
    workspace: "Workspace",
    workers: int,
    most_seconds: float = AUTOMATIC_SECONDS,
) -> None:
    """Write the report after another command.

    Args:
        progress: Terminal to print its path to, or why it could not be written.
        workspace: Work folder.
        workers: Number of processes.
        most_seconds: Time in which cases are read.
    """
    from autoseg.stages.report.report import ReportOptions, write_report

    options = ReportOptions(workers=workers, most_seconds=most_seconds)
    write_report(workspace, options, progress)


def report(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE",
            help="Planned dataset, work folder, model file (.autoseg), or folder of predictions "
            "that autoseg evaluate has scored.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="HTML file to write.",
            show_default="report.html in the work folder or next to SOURCE",
        ),
    ] = None,
    cases: Annotated[
        int,
        typer.Option("--cases", min=1, help="Maximum number of cases to draw and to compare."),
    ] = 200,
    work: shared.Work = None,
    workers: shared.Workers = None,
) -> None:
    """Write an HTML page on data, plan, trainings and scores."""
    from autoseg.documents.report import Report
    from autoseg.stages.report.evaluation import report_evaluation
    from autoseg.stages.report.facts import REPORT_NAME
    from autoseg.stages.report.model import report_model
    from autoseg.stages.report.report import ReportOptions, report_work

    progress = shared.terminal_progress(context, (output or source).parent)
    if source.is_file():
        path = output or source.with_suffix(".html")
        report_model(source, path)
    elif work is None and (source / Report.FILE_NAME).is_file():
        path = report_evaluation(source, output)
    else:
        workspace = shared.planned_workspace(source, work)
        path = output or workspace.root / REPORT_NAME
        options = ReportOptions(cases, shared.workers_or_default(workers))
        report_work(workspace, path, options, progress)
    progress.say(f"Report saved as {path}")
