"""Check that a work folder belongs to a dataset, which may be moved or share its name."""

from collections.abc import Iterator
from pathlib import Path

from autoseg.core.errors import DatasetError, DocumentError
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.workspace import Workspace

MADE_BY = "autoseg plan"


def check_dataset_identity(dataset: Path, workspace: Workspace) -> None:
    """Reject a work folder that was made from another dataset, even one of the same name.

    If the dataset was moved (its recorded folder is missing and the files match), its new location
    is saved in the work folder. If `dataset` does not exist, nothing is checked, because the
    preprocessed cases may suffice.

    Raises:
        DatasetError: If the work folder belongs to another dataset.
    """
    spec = _recorded(workspace)
    if spec is None or not dataset.is_dir():
        return
    if other_dataset(dataset, workspace) is not None:
        origin = f"from {spec.root}, not from {dataset}"
        raise DatasetError(_mismatch_message(dataset, workspace, origin))
    if spec.root.is_dir():
        return
    if not _has_the_files(dataset, spec, workspace):
        origin = f"from {spec.root}, which no longer exists, and {dataset} has other files"
        raise DatasetError(_mismatch_message(dataset, workspace, origin))
    store.save(_with_root(spec, dataset.resolve()), workspace.dataset)


def other_dataset(dataset: Path, workspace: Workspace) -> Path | None:
    """Return the folder of the dataset that a work folder was made from, or None if the same."""
    spec = _recorded(workspace)
    if spec is None or not dataset.is_dir() or not spec.root.is_dir():
        return None
    return None if spec.root.samefile(dataset) else spec.root


def _recorded(workspace: Workspace) -> DatasetSpec | None:
    """Load the work folder's dataset description; None if it is missing or damaged."""
    if not workspace.dataset.is_file():
        return None
    try:
        return store.load(DatasetSpec, workspace.dataset, made_by=MADE_BY)
    except DocumentError:
        return None


def _mismatch_message(dataset: Path, workspace: Workspace, origin: str) -> str:
    return (
        f"the work folder {workspace.root} was made {origin}. Choose another one with --work, or "
        f"run `{MADE_BY} {dataset}` to replace its plan."
    )


def _has_the_files(dataset: Path, spec: DatasetSpec, workspace: Workspace) -> bool:
    """Return True if a folder holds the files of all cases, compared by name and size.

    Without a readable fingerprint only names are compared.
    """
    try:
        measured = store.load(Fingerprint, workspace.fingerprint, made_by=MADE_BY).cases
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
