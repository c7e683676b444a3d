"""Load, create and check the folds of the cross-validation."""

from pathlib import Path

from autoseg.core.errors import DatasetError, TrainingError
from autoseg.core.formatting import format_names
from autoseg.core.progress import Progress
from autoseg.datasets.user_splits import (
    check_folds,
    find_splits_file,
    fold_warnings,
    read_folds,
)
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.splits import Fold, Splits
from autoseg.documents.workspace import Workspace
from autoseg.training.splits import make_splits


def load_splits(
    workspace: Workspace,
    dataset: DatasetSpec,
    fingerprint: Fingerprint,
    progress: Progress,
    *,
    path: Path | None = None,
) -> Splits:
    """Load the folds of a dataset; create and save them on the first call.

    They come from `path`, or from a file in the dataset folder unless the saved folds come from
    another `path`. Without such a file, cases are split randomly.

    Args:
        workspace: Work folder of a planned dataset.
        dataset: Description of the dataset.
        fingerprint: Fingerprint of the dataset.
        progress: Receives notes about folds from a file when they are first saved.
        path: JSON file in the format of nnU-Net's `splits_final.json` or of autoseg.

    Raises:
        TrainingError: If the saved folds name cases that are no longer in the fingerprint.
        DatasetError: If the folds of the file are invalid or differ from the saved ones.
    """
    saved = store.load(Splits, workspace.splits) if workspace.splits.is_file() else None
    path = path or _file_in_dataset(dataset, saved)
    groups = {case.name: case.group for case in dataset.cases}
    if path is None:
        names = tuple(case.name for case in fingerprint.cases)
        splits = saved or _given_splits(dataset) or make_splits(names, groups)
        used = {name for fold in splits.folds for name in (*fold.train, *fold.validation)}
        if unknown := sorted(used - set(names)):
            msg = (
                f"{workspace.splits} names cases that are not in the fingerprint: "
                f"{format_names(unknown)}. Correct the file, or delete it to create new folds."
            )
            raise TrainingError(msg)
    else:
        folds = read_folds(path)
        check_folds(folds, groups, path=path)
        if saved is not None and saved.folds != folds:
            msg = (
                f"{workspace.splits} has other folds than {path}. To use the latter, delete the "
                f"former and move {workspace.models} away if it exists: its models may have been "
                "trained on cases that are held out now. To keep the former, move "
                f"{path.name} away."
            )
            raise DatasetError(msg)
        splits = Splits(seed=0, reason=f"read from {path.name}", folds=folds, source=path.resolve())
    if saved is not None:
        return saved
    store.save(splits, workspace.splits)
    if path is not None:
        progress.say(f"using the {len(splits.folds)} folds of {path}")
        for note in fold_warnings(splits.folds):
            progress.say(f"note: {note}")
    return splits


def _given_splits(dataset: DatasetSpec) -> Splits | None:
    """Return the folds that the dataset gives, of the cases that are used."""
    names = {case.name for case in dataset.cases}
    folds = []
    for fold in dataset.splits:
        train, validation = (
            tuple(name for name in part if name in names) for part in (fold.train, fold.validation)
        )
        if not train or not validation:
            return None
        folds.append(Fold(train=train, validation=validation))
    reason = "the validation part of the dataset"
    return Splits(seed=0, reason=reason, folds=tuple(folds)) if folds else None


def _file_in_dataset(dataset: DatasetSpec, saved: Splits | None) -> Path | None:
    """Find the splits file in a dataset folder; None if the saved folds come from another file."""
    path = find_splits_file(dataset.root)
    source = None if saved is None else saved.source
    return path if path is None or source in (None, path.resolve()) else None
