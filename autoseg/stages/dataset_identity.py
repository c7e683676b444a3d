"""Which dataset a work folder is of: datasets are moved, and two may have the same name."""

from collections.abc import Iterator
from pathlib import Path

from autoseg.core.errors import DatasetError, DocumentError
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.workspace import Workspace

MADE_BY = "autoseg plan"


def check_dataset_identity(dataset: Path, workspace: Workspace) -> None:
    """Refuse a work folder that was made from another dataset, perhaps one of the same name.

    A dataset that was moved is no other one: it has the same files, and the work folder is told
    where they are now. One that is gone is not asked for: what was prepared of it may do.

    Raises:
        DatasetError: With what to do instead.
    """
    spec = _recorded(workspace)
    if spec is None or not dataset.is_dir():
        return
    if other_dataset(dataset, workspace) is not None:
        raise DatasetError(_refusal(dataset, workspace, f"from {spec.root}, not from {dataset}"))
    if spec.root.is_dir():
        return
    if not _has_the_files(dataset, spec, workspace):
        found = f"from {spec.root}, which is not there any more, and {dataset} has other files"
        raise DatasetError(_refusal(dataset, workspace, found))
    store.save(_moved(spec, dataset.resolve()), workspace.dataset)


def other_dataset(dataset: Path, workspace: Workspace) -> Path | None:
    """Return the dataset that a work folder was made from, if that is another one, else None."""
    spec = _recorded(workspace)
    if spec is None or not dataset.is_dir() or not spec.root.is_dir():
        return None
    return None if spec.root.samefile(dataset) else spec.root


def _recorded(workspace: Workspace) -> DatasetSpec | None:
    """Return what the work folder says of its dataset; None if it says nothing, or is damaged."""
    if not workspace.dataset.is_file():
        return None
    try:
        return store.load(DatasetSpec, workspace.dataset, made_by=MADE_BY)
    except DocumentError:
        return None


def _refusal(dataset: Path, workspace: Workspace, found: str) -> str:
    return (
        f"the work folder {workspace.root} was made {found}. Name another one with --work, or run "
        f"`{MADE_BY} {dataset}` to replace its plan."
    )


def _has_the_files(dataset: Path, spec: DatasetSpec, workspace: Workspace) -> bool:
    """Return whether a folder holds files of the names and sizes of all cases that were measured.

    If nothing is known of them, names must do.
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


def _moved(spec: DatasetSpec, root: Path) -> DatasetSpec:
    """Return the description with all files of the dataset in another folder."""

    def place(path: Path) -> Path:
        return root / path.relative_to(spec.root) if path.is_relative_to(spec.root) else path

    def moved(cases: tuple[CaseFiles, ...]) -> tuple[CaseFiles, ...]:
        return tuple(
            case.model_copy(
                update={
                    "images": tuple(map(place, case.images)),
                    "labels": place(case.labels),
                }
            )
            for case in cases
        )

    return spec.model_copy(
        update={"root": root, "cases": moved(spec.cases), "test_cases": moved(spec.test_cases)}
    )
