"""Checks of an existing plan and existing trainings before a command continues with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import PlanError, TrainingError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.progress import Progress
from autoseg.datasets.layouts.recognition import case_names
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.splits import FoldName
from autoseg.documents.workspace import Workspace
from autoseg.inference.stored import ModelFolder
from autoseg.stages.project import Project

NEVER_HELD_OUT = (
    "some cases are not held out by any fold, so every network of the previous stage was trained "
    "on them"
)
"""Reason why a cascade cannot be trained."""


@dataclass(frozen=True)
class PlanOptions:
    """Options that a plan should have been made with; None if an option was not given.

    Attributes:
        network: Kind of architecture.
        loss: Kind of loss.
        memory_gib: GPU memory, GiB.
    """

    network: str | None = None
    loss: str | None = None
    memory_gib: float | None = None


def check_plan_options(
    workspace: Workspace, planned: Plan, requested: PlanOptions, progress: Progress
) -> None:
    """Check that an existing plan has the requested network and loss.

    The plan does not record its memory limit, so a requested memory only leads to a note.

    Args:
        workspace: Work folder.
        planned: The existing plan.
        requested: Options of the current command.
        progress: Receives the note.

    Raises:
        PlanError: If the plan has another network or loss.
    """
    options = {
        "--network": (requested.network, {c.architecture.kind for c in planned.configurations}),
        "--loss": (requested.loss, {c.loss.kind for c in planned.configurations}),
    }
    for option, (value, kinds) in options.items():
        if value is not None and value not in kinds:
            msg = (
                f"found {option} {value}, but {workspace.plan} uses {', '.join(sorted(kinds))}. "
                f"Leave {option} out to continue with that plan, or choose another work folder "
                "with --work for a new plan."
            )
            raise PlanError(msg)
    if requested.memory_gib is not None:
        progress.say("note: --memory ignored: using the existing plan")


def check_trained_with(
    project: Project, configuration: Configuration, *, replaced: FoldName | None = None
) -> None:
    """Check that all trained folds of a configuration were trained with the current plan.

    Args:
        project: Project with the current plan.
        configuration: One of its configurations.
        replaced: Fold that is about to be retrained; it is ignored.

    Raises:
        TrainingError: If a fold was trained with another plan.
    """
    workspace = project.workspace
    folder = workspace.models / configuration.name
    trained = {weights.parent for weights in folder.glob(f"fold_*/{WEIGHTS_NAME}")}
    if replaced is not None:
        trained -= {workspace.fold(configuration.name, replaced)}
    if not trained or not (folder / Plan.FILE_NAME).is_file():
        return
    earlier = ModelFolder(folder).read_plan()
    if not earlier.is_compatible_with(project.plan, configuration):
        msg = (
            f"{folder} holds folds that were trained with another {configuration.name}: the "
            "plan has changed since. Move that folder away, or continue with their plan: copy "
            f"{folder / Plan.FILE_NAME} to {workspace.plan}."
        )
        raise TrainingError(msg)


def untrainable_cascades(project: Project, names: Sequence[str]) -> tuple[str, ...]:
    """Return the named cascade stages that cannot be trained because a case is never held out."""
    folds, plan = project.splits.folds, project.plan
    used = {name for fold in folds for name in (*fold.train, *fold.validation)}
    if used <= {name for fold in folds for name in fold.validation}:
        return ()
    return tuple(name for name in names if plan.configuration(name).previous_stage is not None)


def note_on_budget(plan: Plan, budget_seconds: float | None) -> str | None:
    """Build a note if a budget is given but the plan was not sized to one; else None."""
    if budget_seconds is None or plan.budget is not None:
        return None
    return (
        "note: the existing plan was not sized to a budget and is used unchanged; to size a new "
        "plan to the budget, move it away first"
    )


def note_on_changed_cases(dataset: Path, spec: DatasetSpec) -> str | None:
    """Build a note if cases were added to or removed from a dataset since planning; else None.

    A missing dataset folder is not reported: its preprocessed cases may still exist.
    """
    if not dataset.is_dir():
        return None
    current = case_names(dataset)
    kinds = (("case", spec.cases, current.training), ("test case", spec.test_cases, current.test))
    changes = []
    for kind, cases, names in kinds:
        planned = {case.name for case in cases}
        for change, affected in (("not in the plan", names - planned), ("gone", planned - names)):
            if affected:
                shown = format_names(sorted(affected))
                changes.append(f"{format_count(len(affected), kind)} {change}: {shown}")
    if not changes:
        return None
    return (
        f"note: {dataset} has changed or has cases that were left out: {'; '.join(changes)}. "
        f"Using the cases of the plan. To make a new plan: `autoseg plan {dataset}`"
    )
