"""The documents of a planned dataset, which a command loads once."""

from dataclasses import dataclass

from autoseg.core.formatting import format_names
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan
from autoseg.documents.splits import ALL, Fold, FoldName, Splits
from autoseg.documents.workspace import Workspace
from autoseg.stages.dataset_identity import check_same_classes
from autoseg.stages.folds import load_splits
from autoseg.stages.preprocess import PlannedCases


@dataclass(frozen=True)
class Project(PlannedCases):
    """The documents of a work folder that define its trainings.

    Attributes:
        plan: The plan.
        splits: Folds of the cross-validation.
    """

    plan: Plan
    splits: Splits


def load_project(
    workspace: Workspace, progress: Progress, *, dataset: DatasetSpec | None = None
) -> Project:
    """Load the documents of a planned dataset; the folds are created and saved on the first call.

    Args:
        workspace: Work folder of the dataset.
        progress: Receives notes about folds from a file.
        dataset: Description of the dataset; None loads it.

    Raises:
        DocumentError: If the dataset has not been planned, or a document is damaged.
        TrainingError: If the saved folds name cases that are no longer in the fingerprint.
        DatasetError: If the folds in the dataset folder are invalid or differ from the saved ones,
            or the plan has other classes than the dataset.
    """
    plan = store.load(Plan, workspace.plan)
    spec = dataset or store.load(DatasetSpec, workspace.dataset)
    check_same_classes(plan.labels, spec, str(workspace.plan))
    fingerprint = store.load(Fingerprint, workspace.fingerprint)
    splits = load_splits(workspace, spec, fingerprint, progress)
    return Project(workspace, spec, fingerprint, plan, splits)


def fold_cases(project: Project, fold: FoldName, progress: Progress) -> Fold:
    """Return the cases of one fold, and report cases that are not in any fold.

    The fold `all` trains on every case and validates on the same cases; its scores only show that
    the training works.

    Args:
        project: The project.
        fold: Number of the fold, or `all`.
        progress: Receives notes and warnings.

    Raises:
        TrainingError: If the fold does not exist.
    """
    names = tuple(case.name for case in project.fingerprint.cases)
    if fold == ALL:
        return Fold(train=names, validation=names)
    folds, workspace = project.splits.folds, project.workspace
    if any(each.resubstitution for each in folds):
        progress.say(
            "warning: there is only one case or group, so the model is scored on its training "
            "cases, and the scores do not show how it performs on new cases. Add cases of another "
            "group to measure that."
        )
    used = {name for each in folds for name in (*each.train, *each.validation)}
    unused = [name for name in names if name not in used]
    if unused:
        progress.say(
            f"note: {len(unused)} cases are not used, as no fold of {workspace.splits} has them: "
            f"{format_names(unused)}. Add them to the file, or delete it to create new folds and "
            f"move {workspace.models} away."
        )
    return project.splits.fold(fold)
