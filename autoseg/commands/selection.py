"""`autoseg select`."""

from typing import TYPE_CHECKING, Annotated

import typer

from autoseg.commands.options import (
    Dataset,
    Work,
    Workers,
    crash_notes,
    planned_workspace,
    workers_or_default,
)

if TYPE_CHECKING:
    from autoseg.documents.selection import Selection
    from autoseg.documents.workspace import Workspace
    from autoseg.terminal import TerminalProgress


def select(
    context: typer.Context,
    dataset: Dataset,
    allow_missing_folds: Annotated[
        bool,
        typer.Option(
            "--allow-missing-folds",
            help="Compare configurations that lack folds, too, on the cases that all have.",
        ),
    ] = False,
    work: Work = None,
    workers: Workers = None,
) -> None:
    """Compare what is trained by cross-validation, and choose.

    Candidates are the trained configurations and their pairs; `predict` and `export` then go by
    the choice.
    """
    from autoseg.stages import select as stage
    from autoseg.stages.next_command import predict_command
    from autoseg.terminal import TerminalProgress

    workspace = planned_workspace(dataset, work)
    progress = TerminalProgress(notes=crash_notes(context, workspace.root))
    selected = stage.select(
        workspace,
        allow_missing_folds=allow_missing_folds,
        workers=workers_or_default(workers),
        progress=progress,
    )
    show_selection(progress, workspace, selected)
    progress.say(f"Next: {predict_command(workspace.root)}")


def show_selection(
    progress: "TerminalProgress", workspace: "Workspace", selected: "Selection"
) -> None:
    """Show what was compared, what was chosen and how good it is."""
    from autoseg.core.text import counted
    from autoseg.evaluation.table import calibration_lines, leaderboard_rows, report_rows
    from autoseg.stages.select import load_cross_validation

    report = load_cross_validation(workspace)
    progress.table("Candidates", *leaderboard_rows(selected))
    progress.say(selected.reason)
    for step in selected.postprocessing:
        values = ", ".join(map(str, step.values))
        progress.say(
            f"Only the largest component of label {values} is kept: Dice {step.dice_before:.4f} "
            f"before, {step.dice_after:.4f} after"
        )
    cases = counted(len(report.cases), "scored case")
    progress.table(f"The choice, on {cases}", *report_rows(report))
    for line in calibration_lines(report):
        progress.say(line)
    progress.say(f"Saved as {workspace.selection}; picture: {workspace.leaderboard}")
