"""Whether a command can go on with what an earlier one has left in the work folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import PlanError, TrainingError
from autoseg.core.progress import Progress
from autoseg.core.text import counted
from autoseg.datasets.layouts.recognition import case_names
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.model import PLAN_NAME, WEIGHTS_NAME
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.splits import FoldName
from autoseg.documents.workspace import Workspace
from autoseg.stages.folds import load_splits

NEVER_HELD_OUT = (
    "some cases are held out by no fold, so that nothing predicts them that has not seen them"
)
"""Why a cascade cannot be trained."""

NAMES_SHOWN = 5
"""Cases that a note names."""


@dataclass(frozen=True)
class Asked:
    """What was asked of a plan; None asks for nothing.

    Attributes:
        network: Architecture.
        loss: Loss.
        memory_gib: Accelerator memory.
    """

    network: str | None = None
    loss: str | None = None
    memory_gib: float | None = None


def check_plan_is_asked(
    workspace: Workspace, planned: Plan, asked: Asked, progress: Progress
) -> None:
    """Check that a plan that is there has the network and the loss that are asked for now.

    For how much memory it was made it does not say, so that this is only told.

    Raises:
        PlanError: If it has not.
    """
    found = {
        "--network": (asked.network, {c.architecture.kind for c in planned.configurations}),
        "--loss": (asked.loss, {c.loss.kind for c in planned.configurations}),
    }
    for option, (wanted, kinds) in found.items():
        if wanted is not None and wanted not in kinds:
            msg = (
                f"found {option} {wanted}, but {workspace.plan} plans {', '.join(sorted(kinds))}. "
                f"Leave {option} out to go on with that plan; or name another work folder with "
                "--work, for another plan."
            )
            raise PlanError(msg)
    if asked.memory_gib is not None:
        progress.say("note: --memory counts for a new plan; the one that is there stays as it is")


def check_trained_with(
    workspace: Workspace,
    plan: Plan,
    configuration: Configuration,
    *,
    replaced: FoldName | None = None,
) -> None:
    """Check that what is trained of a configuration was trained with the plan of now.

    Args:
        workspace: Work folder.
        plan: The plan.
        configuration: Which of its configurations.
        replaced: A fold that is about to be trained anew, and does not count.

    Raises:
        TrainingError: If it was another plan.
    """
    folder = workspace.models / configuration.name
    trained = {weights.parent for weights in folder.glob(f"fold_*/{WEIGHTS_NAME}")}
    if replaced is not None:
        trained -= {workspace.fold(configuration.name, replaced)}
    if not trained or not (folder / PLAN_NAME).is_file():
        return
    earlier = store.load(Plan, folder / PLAN_NAME, made_by="autoseg train")
    if not earlier.agrees_with(plan, configuration):
        msg = (
            f"{folder} holds folds that were trained with another {configuration.name}: the "
            "plan has changed since. Move that folder away, or go on with their plan: copy "
            f"{folder / PLAN_NAME} to {workspace.plan}."
        )
        raise TrainingError(msg)


def cascades_without_folds(
    workspace: Workspace, plan: Plan, names: Sequence[str]
) -> tuple[str, ...]:
    """Return which configurations can learn from no stage before, as it has seen some cases.

    Args:
        workspace: Work folder.
        plan: The plan.
        names: Names of configurations.
    """
    folds = load_splits(workspace).folds
    used = {name for fold in folds for name in (*fold.train, *fold.validation)}
    if used <= {name for fold in folds for name in fold.validation}:
        return ()
    return tuple(name for name in names if plan.configuration(name).previous_stage is not None)


def note_on_budget(plan: Plan, budget_seconds: float | None) -> str | None:
    """Return a sentence if there is a budget now and the plan was not sized to any."""
    if budget_seconds is None or plan.budget is not None:
        return None
    return (
        "note: the plan that is there was not sized to a budget, and stays as it is; to have it "
        "sized, move it away first"
    )


def note_on_changed_cases(dataset: Path, workspace: Workspace) -> str | None:
    """Return a sentence if a dataset has cases that its plan does not know, or lacks some.

    A dataset that is gone is not missed: what was prepared of it may still be there.
    """
    if not dataset.is_dir():
        return None
    spec = store.load(DatasetSpec, workspace.dataset, made_by="autoseg plan")
    found = case_names(dataset)
    kinds = (("case", spec.cases, found.training), ("test case", spec.test_cases, found.test))
    changes = []
    for kind, cases, names in kinds:
        planned = {case.name for case in cases}
        for what, changed in (("not in the plan", names - planned), ("gone", planned - names)):
            if changed:
                shown = ", ".join(sorted(changed)[:NAMES_SHOWN])
                more = " …" if len(changed) > NAMES_SHOWN else ""
                changes.append(f"{counted(len(changed), kind)} {what}: {shown}{more}")
    if not changes:
        return None
    return (
        f"note: {dataset} has changed or has cases that were left out; {'; '.join(changes)}. The "
        f"cases of the plan are used. To plan anew: `autoseg plan {dataset}`"
    )
