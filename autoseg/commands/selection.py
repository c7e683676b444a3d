"""`autoseg select`."""

from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.commands import options as shared
from autoseg.commands.reporting import save_report

if TYPE_CHECKING:
    from autoseg.documents.workspace import Workspace
    from autoseg.stages.select.select import CrossValidated
    from autoseg.terminal import TerminalProgress


def select(
    context: typer.Context,
    dataset: shared.Dataset,
    allow_missing_folds: Annotated[
        bool,
        typer.Option(
            "--allow-missing-folds",
            help="Also compare configurations with missing folds, on their common held-out cases.",
        ),
    ] = False,
    work: shared.Work = None,
    workers: shared.Workers = None,
) -> None:
    """Select a model by cross-validation.

    Candidates are the trained configurations and the ensembles of two of them. `predict` and
    `export` then use the selected model.
    """
    from autoseg.stages.next_command import predict_command
    from autoseg.stages.select import select as stage

    workspace, spec = shared.planned_dataset(dataset, work)
    progress = shared.terminal_progress(context, workspace.root)
    selected = stage.select(
        workspace,
        allow_missing_folds=allow_missing_folds,
        workers=shared.workers_or_default(workers),
        progress=progress,
        dataset=spec,
    )
    show_selection(progress, workspace, selected)
    save_report(progress, workspace, shared.workers_or_default(workers))
    progress.say(f"Next: {predict_command(workspace.root)}")


def show_selection(
    progress: "TerminalProgress", workspace: "Workspace", selected: "CrossValidated"
) -> None:
    """Print the leaderboard, the selected model and its cross-validation scores.

    Args:
        progress: Terminal to print to.
        workspace: Work folder with the saved selection.
        selected: The selection with its scores.
    """
    from autoseg.core.formatting import format_count
    from autoseg.evaluation.table import calibration_lines, leaderboard_rows, report_rows

    selection, report = selected.selection, selected.report
    progress.table("Candidates", *leaderboard_rows(selection))
    progress.say(selection.reason)
    for step in selection.postprocessing:
        values = ", ".join(map(str, step.values))
        progress.say(
            f"Post-processing keeps only the largest component of label {values}: Dice "
            f"{step.dice_before:.4f} before, {step.dice_after:.4f} after"
        )
    cases = format_count(len(report.cases), "scored case")
    progress.table(f"Selected model, {cases}", *report_rows(report))
    for line in calibration_lines(report):
        progress.say(line)
    progress.say(f"Selection saved as {workspace.selection}; picture: {workspace.leaderboard}")
