"""Load, create and check the folds of the cross-validation."""

from pathlib import Path

from autoseg.core.errors import DatasetError, TrainingError
from autoseg.core.formatting import format_names
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
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.training.splits import make_splits


def load_splits(
    workspace: Workspace,
    dataset: DatasetSpec,
    fingerprint: Fingerprint,
    progress: Progress | None = None,
) -> Splits:
    """Load the folds of a dataset; create and save them on the first call.

    Folds from a file in the dataset folder are used if there is one; if not, cases are split
    randomly.

    Args:
        workspace: Work folder of a planned dataset.
        dataset: Description of the dataset.
        fingerprint: Fingerprint of the dataset.
        progress: Receives notes about folds from a file.

    Raises:
        TrainingError: If the saved folds name cases that are no longer in the fingerprint.
        DatasetError: If the folds in the dataset folder are invalid or differ from the saved ones.
    """
    saved = _saved_splits(workspace)
    provided = find_splits_file(dataset.root)
    if provided is not None and not _has_other_source(saved, provided):
        return _use_file(workspace, dataset, provided, saved, progress or Silent())
    names = tuple(case.name for case in fingerprint.cases)
    if saved is None:
        splits = make_splits(names, {case.name: case.group for case in dataset.cases})
        store.save(splits, workspace.splits)
        return splits
    used = {name for fold in saved.folds for name in (*fold.train, *fold.validation)}
    if used - set(names):
        msg = (
            f"{workspace.splits} names cases that are not in the fingerprint: "
            f"{format_names(sorted(used - set(names)))}. Correct the file, or delete it to create "
            "new folds."
        )
        raise TrainingError(msg)
    return saved


def use_splits(
    workspace: Workspace, dataset: DatasetSpec, path: Path, progress: Progress
) -> Splits:
    """Load the folds from a user's file, check them and save them for all trainings.

    Args:
        workspace: Work folder of a planned dataset.
        dataset: Description of the dataset.
        path: JSON file in the format of nnU-Net's `splits_final.json` or of autoseg.
        progress: Receives notes about unusual folds when they are first saved.

    Raises:
        DatasetError: If the folds are invalid, or the work folder already has others.
    """
    return _use_file(workspace, dataset, path, _saved_splits(workspace), progress)


def _use_file(
    workspace: Workspace,
    dataset: DatasetSpec,
    path: Path,
    saved: Splits | None,
    progress: Progress,
) -> Splits:
    folds = read_folds(path)
    check_folds(folds, {case.name: case.group for case in dataset.cases}, path=path)
    if saved is not None:
        if saved.folds == folds:
            return saved
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


def _saved_splits(workspace: Workspace) -> Splits | None:
    return store.load(Splits, workspace.splits) if workspace.splits.is_file() else None


def _has_other_source(saved: Splits | None, provided: Path) -> bool:
    """Return True if the saved folds come from --splits, which takes precedence over `provided`."""
    source = None if saved is None else saved.source
    return source is not None and source != provided.resolve()
