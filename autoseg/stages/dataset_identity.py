"""Check that a work folder belongs to a dataset, which may be moved or share its name."""

from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.core.labels import LabelScheme, default_label_name
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.workspace import Workspace
from autoseg.readers import exists, storage_state


def load_dataset(dataset: Path, workspace: Workspace) -> DatasetSpec:
    """Load the description of a planned dataset, and check that it describes the given folder.

    If the dataset was moved (its recorded folder is missing and the files match), its new location
    is saved in the work folder. If `dataset` does not exist, nothing is checked, because the
    preprocessed cases may suffice.

    Raises:
        DatasetError: If the work folder was made from another dataset, even of the same name.
        DocumentError: If the description is missing or damaged.
    """
    spec = store.load(DatasetSpec, workspace.dataset)
    if not dataset.is_dir():
        return spec
    if spec.root.is_dir():
        if spec.root.samefile(dataset):
            return spec
        origin = f"from {spec.root}, not from {dataset}"
    else:
        moved = _with_root(spec, dataset.resolve())
        if _has_the_files(moved, workspace):
            store.save(moved, workspace.dataset)
            return moved
        origin = f"from {spec.root}, which no longer exists, and {dataset} has other files"
    msg = (
        f"the work folder {workspace.root} was made {origin}. Choose another one with --work, or "
        f"run `autoseg plan {dataset}` to replace its plan."
    )
    raise DatasetError(msg)


def other_dataset(dataset: Path, workspace: Workspace) -> Path | None:
    """Return the folder of the dataset that a work folder was made from, or None if the same.

    None also if the description in the work folder is missing or damaged.
    """
    spec = store.load_if_valid(DatasetSpec, workspace.dataset)
    if spec is None or not (dataset.is_dir() and spec.root.is_dir()):
        return None
    return None if spec.root.samefile(dataset) else spec.root


def check_same_classes(labels: LabelScheme, dataset: DatasetSpec, source: str) -> None:
    """Check that a plan or model has the classes of a dataset, under the same label values.

    A value without a name (`label_2`) fits any class.

    Args:
        labels: Classes of the plan or model.
        dataset: The dataset.
        source: Path of the plan or model, for the message.

    Raises:
        DatasetError: If a value has different names.
    """
    own, current = (
        dict(zip(scheme.values, scheme.names, strict=True)) for scheme in (labels, dataset.labels)
    )
    differing = [
        f"{value}={own[value]} in {source}, {value}={current[value]} in the dataset"
        for value in sorted(own.keys() & current.keys())
        if own[value].lower() != current[value].lower()
        and default_label_name(value) not in (own[value], current[value])
    ]
    if differing:
        raise DatasetError(
            f"the label values have other classes than in the dataset as it was planned last: "
            f"{format_names(differing, 3)}. Use a model that was trained with this plan, or "
            f"restore the classes with --label-map and run `autoseg plan {dataset.root}` again."
        )


def _has_the_files(moved: DatasetSpec, workspace: Workspace) -> bool:
    """Return True if the files of all cases exist with the size that they had before the move.

    Without a valid fingerprint the sizes are not compared.
    """
    fingerprint = store.load_if_valid(Fingerprint, workspace.fingerprint)
    if fingerprint is None:
        files = [path for case in moved.cases for path in (*case.images, case.labels)]
        return all(map(exists, files))
    sources = [entry for case in fingerprint.cases for entry in case.source]
    known = [(moved.root / name, size) for name, size, _ in sources]
    return all(path.exists() and storage_state(path)[0] == size for path, size in known)


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
