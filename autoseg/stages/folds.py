"""Load, create and check the folds: the training and held-out cases of each training."""

from pathlib import Path

from autoseg.core.errors import DatasetError, TrainingError
from autoseg.core.progress import Progress, Silent
from autoseg.datasets.user_splits import (
    check_folds,
    find_splits_file,
    fold_warnings,
    read_folds,
)
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.splits import ALL, Fold, FoldName, Splits
from autoseg.documents.workspace import Workspace
from autoseg.training.splits import make_splits

MADE_BY = "autoseg plan"


def load_splits(workspace: Workspace, progress: Progress | None = None) -> Splits:
    """Load the folds of a dataset; create and save them on the first call.

    Folds from a file in the dataset folder are used if there is one; if not, cases are split
    randomly.

    Raises:
        TrainingError: If the saved folds name cases that are no longer in the fingerprint.
        DatasetError: If the folds in the dataset folder are invalid or differ from the saved ones.
    """
    spec = store.load(DatasetSpec, workspace.dataset, made_by=MADE_BY)
    provided = find_splits_file(spec.root)
    names = _case_names(workspace)
    if provided is not None and not _has_other_source(workspace, provided):
        return use_splits(workspace, provided, progress or Silent())
    if not workspace.splits.is_file():
        groups = {case.name: case.group for case in spec.cases}
        store.save(make_splits(names, groups), workspace.splits)
    splits = store.load(Splits, workspace.splits, made_by="autoseg train")
    used = {name for fold in splits.folds for name in (*fold.train, *fold.validation)}
    if used - set(names):
        msg = (
            f"{workspace.splits} names cases that are not in the fingerprint: "
            f"{sorted(used - set(names))[:5]}. Correct the file, or delete it to create new folds."
        )
        raise TrainingError(msg)
    if progress is not None and any(fold.resubstitution for fold in splits.folds):
        progress.say(
            "warning: there is only one case or group, so the model is scored on its training "
            "cases, and the scores do not show how it performs on new cases. Add cases of another "
            "group to measure that."
        )
    return splits


def use_splits(workspace: Workspace, path: Path, progress: Progress) -> Splits:
    """Load the folds from a user's file, check them and save them for all trainings.

    Args:
        workspace: Work folder of a planned dataset.
        path: JSON file in the format of nnU-Net's `splits_final.json` or of autoseg.
        progress: Receives notes about unusual folds when they are first saved.

    Raises:
        DatasetError: If the folds are invalid, or the work folder already has others.
    """
    spec = store.load(DatasetSpec, workspace.dataset, made_by=MADE_BY)
    folds = read_folds(path)
    check_folds(folds, {case.name: case.group for case in spec.cases}, path=path)
    if workspace.splits.is_file():
        splits = store.load(Splits, workspace.splits, made_by="autoseg train")
        if splits.folds == folds:
            return splits
        msg = (
            f"{workspace.splits} has other folds than {path}. To use the latter, delete the former "
            f"and move {workspace.models} away if it exists: its models may have been trained on "
            f"cases that are held out now. To keep the former, move {path.name} away."
        )
        raise DatasetError(msg)
    splits = Splits(seed=0, reason=f"read from {path.name}", folds=folds, source=path.resolve())
    store.save(splits, workspace.splits)
    progress.say(f"using the {len(folds)} folds of {path}")
    for note in fold_warnings(folds):
        progress.say(f"note: {note}")
    return splits


def load_fold(workspace: Workspace, fold: FoldName, progress: Progress) -> Fold:
    """Load the cases of one fold, and report cases that are not in any fold.

    The fold `all` trains on every case and validates on the same cases; its scores only show that
    the training works.

    Args:
        workspace: Work folder.
        fold: Number of the fold, or `all`.
        progress: Receives notes and warnings.

    Raises:
        TrainingError: If the fold does not exist.
        DatasetError: If the folds in the dataset folder are invalid or differ from the saved ones.
    """
    names = _case_names(workspace)
    if fold == ALL:
        return Fold(train=names, validation=names)
    splits = load_splits(workspace, progress)
    used = {name for each in splits.folds for name in (*each.train, *each.validation)}
    unused = [name for name in names if name not in used]
    if unused:
        progress.say(
            f"note: {len(unused)} cases are not used, as no fold of {workspace.splits} has them: "
            f"{', '.join(unused[:5])}{' …' if len(unused) > 5 else ''}. Add them to the file, or "
            f"delete it to create new folds and move {workspace.models} away."
        )
    return splits.fold(fold)


def _case_names(workspace: Workspace) -> tuple[str, ...]:
    fingerprint = store.load(Fingerprint, workspace.fingerprint, made_by=MADE_BY)
    return tuple(case.name for case in fingerprint.cases)


def _has_other_source(workspace: Workspace, provided: Path) -> bool:
    """Return True if the saved folds come from --splits, which takes precedence over `provided`."""
    if not workspace.splits.is_file():
        return False
    source = store.load(Splits, workspace.splits, made_by="autoseg train").source
    return source is not None and source != provided.resolve()
