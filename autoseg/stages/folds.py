"""Which cases a training sees, and which it holds out."""

from pathlib import Path

from autoseg.core.errors import DatasetError, TrainingError
from autoseg.core.progress import Progress, Silent
from autoseg.datasets.user_splits import (
    check_folds,
    file_with_splits,
    notes_on_folds,
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
    """Return the folds of a dataset, made and saved the first time.

    Folds that lie in the dataset's folder are taken; else cases are dealt out.

    Raises:
        TrainingError: If the saved folds name cases that are no longer in the fingerprint.
        DatasetError: If the folds in the dataset's folder are faulty, or not the saved ones.
    """
    spec = store.load(DatasetSpec, workspace.dataset, made_by=MADE_BY)
    given = file_with_splits(spec.root)
    names = _case_names(workspace)
    if given is not None and not _are_from_elsewhere(workspace, given):
        return use_splits(workspace, given, progress or Silent())
    if not workspace.splits.is_file():
        groups = {case.name: case.group for case in spec.cases}
        store.save(make_splits(names, groups), workspace.splits)
    splits = store.load(Splits, workspace.splits, made_by="autoseg train")
    used = {name for fold in splits.folds for name in (*fold.train, *fold.validation)}
    if used - set(names):
        msg = (
            f"{workspace.splits} names cases that the fingerprint does not have: "
            f"{sorted(used - set(names))[:5]}. Correct the file, or delete it for new folds."
        )
        raise TrainingError(msg)
    if progress is not None and any(fold.resubstitution for fold in splits.folds):
        progress.say(
            "warning: there is only one case or group, so it is scored on what it is trained on, "
            "which says nothing about new cases. Add cases of others to measure that."
        )
    return splits


def use_splits(workspace: Workspace, path: Path, progress: Progress) -> Splits:
    """Return the folds that a user's file gives, checked and saved for all trainings.

    Args:
        workspace: Of a planned dataset.
        path: In nnU-Net's way of writing folds, or in autoseg's.
        progress: Told of what is odd about them, the first time.

    Raises:
        DatasetError: If they are faulty, or the work folder has other ones already.
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
            f"and move {workspace.models} away if there is one: what was trained there may know "
            f"cases that are held out now. To keep the former, move {path.name} away."
        )
        raise DatasetError(msg)
    splits = Splits(seed=0, reason=f"as {path.name} gives them", folds=folds, source=path.resolve())
    store.save(splits, workspace.splits)
    progress.say(f"the folds are the {len(folds)} of {path}")
    for note in notes_on_folds(folds):
        progress.say(f"note: {note}")
    return splits


def load_fold(workspace: Workspace, fold: FoldName, progress: Progress) -> Fold:
    """Return the cases of one fold, and say which cases of the fingerprint are in none.

    The fold that trains on every case validates on the same cases, which only says that the
    training works.

    Raises:
        TrainingError: If there is no such fold.
        DatasetError: If the folds in the dataset's folder are faulty, or not the saved ones.
    """
    names = _case_names(workspace)
    if fold == ALL:
        return Fold(train=names, validation=names)
    splits = load_splits(workspace, progress)
    used = {name for each in splits.folds for name in (*each.train, *each.validation)}
    unused = [name for name in names if name not in used]
    if unused:
        progress.say(
            f"note: {len(unused)} cases are in no fold of {workspace.splits} and are not used: "
            f"{', '.join(unused[:5])}{' …' if len(unused) > 5 else ''}. Add them to the file, or "
            f"delete it for new folds and move {workspace.models} away."
        )
    return splits.fold(fold)


def _case_names(workspace: Workspace) -> tuple[str, ...]:
    fingerprint = store.load(Fingerprint, workspace.fingerprint, made_by=MADE_BY)
    return tuple(case.name for case in fingerprint.cases)


def _are_from_elsewhere(workspace: Workspace, given: Path) -> bool:
    """Return whether the saved folds were named with --splits, which comes before `given`."""
    if not workspace.splits.is_file():
        return False
    source = store.load(Splits, workspace.splits, made_by="autoseg train").source
    return source is not None and source != given.resolve()
