"""Checks of an existing plan and existing trainings before a command continues with them."""

from collections.abc import Sequence
from pathlib import Path

from autoseg.core.errors import PlanError, TrainingError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.progress import Progress
from autoseg.datasets.layouts.choices import format_options
from autoseg.datasets.layouts.recognition import case_names
from autoseg.documents.dataset import AUTOMATIC, DatasetSpec, LayoutOptions
from autoseg.documents.model import WEIGHTS_NAME
from autoseg.documents.plan import Plan
from autoseg.documents.splits import FoldName
from autoseg.documents.workspace import Workspace
from autoseg.models.folder import ModelFolder
from autoseg.planning.augmentation import augmentation_name
from autoseg.stages.plan.plan import PlanRequest
from autoseg.stages.project import Project

NEVER_HELD_OUT = (
    "some cases are not held out by any fold, so every network of the previous stage was trained "
    "on them"
)
"""Reason why a cascade cannot be trained."""


def check_plan_options(
    workspace: Workspace, planned: Plan, requested: PlanRequest, progress: Progress
) -> None:
    """Check that an existing plan has the requested network, loss and augmentation.

    The plan does not record its memory limit and how classes were requested to be weighted, so
    these options only lead to a note.

    Args:
        workspace: Work folder.
        planned: The existing plan.
        requested: Options of the current command.
        progress: Receives the note.

    Raises:
        PlanError: If the plan has another network, loss or augmentation.
    """
    options = {
        "--network": (requested.network, {c.architecture.kind for c in planned.configurations}),
        "--loss": (requested.loss, {c.loss.kind for c in planned.configurations}),
        "--augmentation": (
            requested.augmentation,
            {augmentation_name(c.recipe.augmentations) for c in planned.configurations},
        ),
    }
    for option, (value, kinds) in options.items():
        if value is not None and value not in kinds:
            msg = (
                f"found {option} {value}, but {workspace.plan} uses {', '.join(sorted(kinds))}. "
                f"Leave {option} out to continue with that plan, or choose another work folder "
                "with --work for a new plan."
            )
            raise PlanError(msg)
    unrecorded = {
        "--memory": requested.memory_gib is not None,
        "--loss-weighting": requested.loss_weighting != "planned",
    }
    for option in (option for option, is_given in unrecorded.items() if is_given):
        progress.say(f"note: {option} ignored: using the existing plan")


def check_layout(dataset: Path, planned: DatasetSpec, requested: LayoutOptions) -> None:
    """Check that the dataset of an existing plan was read with the requested options.

    Args:
        dataset: Dataset folder.
        planned: Description of the dataset in the work folder.
        requested: Options of the current command; without any, those of the plan apply.

    Raises:
        PlanError: If it was read with other options.
    """
    if requested not in (AUTOMATIC, planned.options):
        given = format_options(planned.options) or "no options"
        raise PlanError(
            f"found {format_options(requested)}, but the existing plan is of a dataset that was "
            f"read with {given}. Leave these options out to continue with that plan, or make a new "
            f"plan with `autoseg plan {dataset}` and these options."
        )


def check_trained_with(project: Project, name: str, *, replaced: FoldName | None = None) -> None:
    """Check that all trained folds of a configuration were trained with the current plan.

    Args:
        project: Project with the current plan.
        name: Name of one of its configurations.
        replaced: Fold that is about to be retrained; it is ignored.

    Raises:
        TrainingError: If a fold was trained with another plan.
    """
    workspace = project.workspace
    folder = workspace.models / name
    trained = {weights.parent for weights in folder.glob(f"fold_*/{WEIGHTS_NAME}")}
    if replaced is not None:
        trained -= {workspace.fold(name, replaced)}
    if not trained or not (folder / Plan.FILE_NAME).is_file():
        return
    earlier = ModelFolder(folder).read_plan()
    if not earlier.is_compatible_with(project.plan, project.plan.configuration(name)):
        msg = (
            f"{folder} holds folds that were trained with another {name}: the plan has changed "
            "since. Move that folder away, or continue with their plan: copy "
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
    current = case_names(dataset, spec.options)
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
