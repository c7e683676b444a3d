"""Check that a work folder belongs to a dataset, which may be moved or share its name."""

from collections.abc import Iterator
from pathlib import Path

from autoseg.core.errors import DatasetError, DocumentError
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.workspace import Workspace


def check_dataset_identity(dataset: Path, workspace: Workspace, spec: DatasetSpec) -> DatasetSpec:
    """Reject a work folder that was made from another dataset, even one of the same name.

    If the dataset was moved (its recorded folder is missing and the files match), its new location
    is saved in the work folder. If `dataset` does not exist, nothing is checked, because the
    preprocessed cases may suffice.

    Args:
        dataset: Dataset folder.
        workspace: Work folder.
        spec: Description of the dataset in the work folder.

    Returns:
        The description, with the new location of a dataset that was moved.

    Raises:
        DatasetError: If the work folder belongs to another dataset.
    """
    if not dataset.is_dir():
        return spec
    if _is_other(dataset, spec):
        origin = f"from {spec.root}, not from {dataset}"
        raise DatasetError(_mismatch_message(dataset, workspace, origin))
    if spec.root.is_dir():
        return spec
    if not _has_the_files(dataset, spec, workspace):
        origin = f"from {spec.root}, which no longer exists, and {dataset} has other files"
        raise DatasetError(_mismatch_message(dataset, workspace, origin))
    moved = _with_root(spec, dataset.resolve())
    store.save(moved, workspace.dataset)
    return moved


def other_dataset(dataset: Path, workspace: Workspace) -> Path | None:
    """Return the folder of the dataset that a work folder was made from, or None if the same.

    None also if the description in the work folder is missing or damaged.
    """
    try:
        spec = store.load(DatasetSpec, workspace.dataset)
    except DocumentError:
        return None
    return spec.root if dataset.is_dir() and _is_other(dataset, spec) else None


def _is_other(dataset: Path, spec: DatasetSpec) -> bool:
    """Return True if an existing folder is not the one that the description was made from."""
    return spec.root.is_dir() and not spec.root.samefile(dataset)


def _mismatch_message(dataset: Path, workspace: Workspace, origin: str) -> str:
    return (
        f"the work folder {workspace.root} was made {origin}. Choose another one with --work, or "
        f"run `autoseg plan {dataset}` to replace its plan."
    )


def _has_the_files(dataset: Path, spec: DatasetSpec, workspace: Workspace) -> bool:
    """Return True if a folder holds the files of all cases, compared by name and size.

    Without a readable fingerprint only names are compared.
    """
    try:
        measured = store.load(Fingerprint, workspace.fingerprint).cases
    except DocumentError:
        return all((dataset / path).is_file() for path in _relative_paths(spec))
    known = [(dataset / name, size) for case in measured for name, size, _ in case.source]
    return all(path.is_file() and path.stat().st_size == size for path, size in known)


def _relative_paths(spec: DatasetSpec) -> Iterator[Path]:
    for case in spec.cases:
        for path in (*case.images, case.labels):
            if path.is_relative_to(spec.root):
                yield path.relative_to(spec.root)


def _with_root(spec: DatasetSpec, root: Path) -> DatasetSpec:
    """Return a copy of the description with all file paths moved to another folder."""

    def move_path(path: Path) -> Path:
        return root / path.relative_to(spec.root) if path.is_relative_to(spec.root) else path

    def move_cases(cases: tuple[CaseFiles, ...]) -> tuple[CaseFiles, ...]:
        return tuple(
            case.model_copy(
                update={
                    "images": tuple(map(move_path, case.images)),
                    "labels": move_path(case.labels),
                }
            )
            for case in cases
        )

    return spec.model_copy(
        update={
            "root": root,
            "cases": move_cases(spec.cases),
            "test_cases": move_cases(spec.test_cases),
        }
    )
