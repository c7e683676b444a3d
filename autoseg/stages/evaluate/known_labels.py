"""Load the label scheme from a plan, a dataset description or a dataset folder."""

from dataclasses import replace
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelScheme
from autoseg.datasets.layouts.declared_labels import BACKGROUND, declared_labels
from autoseg.datasets.layouts.description import read_description
from autoseg.datasets.layouts.recognition import recognise
from autoseg.documents import store
from autoseg.documents.preparation import PlannedPreparation

DESCRIPTION_NAME = "dataset.json"


def known_labels(path: Path, *, workers: int = 1) -> LabelScheme:
    """Load the classes, regions and ignore value that a file or folder declares.

    Args:
        path: A `plan.json`, the `dataset.json` of a dataset, or a folder that holds one of them: a
            work folder, model folder or dataset. A dataset without JSON is searched for labels.
        workers: Number of processes that read label files if no JSON declares the values.

    Raises:
        DatasetError: If the file is missing or declares no labels.
        DocumentError: If the plan is damaged.
    """
    if not path.is_dir():
        return _of_file(path)
    for name in (PlannedPreparation.FILE_NAME, DESCRIPTION_NAME):
        if (path / name).is_file():
            return _of_file(path / name)
    return recognise(path, workers=workers).spec.labels


def _of_file(path: Path) -> LabelScheme:
    """Load the labels of a plan or dataset description; value 0 becomes a missing background."""
    if path.name == PlannedPreparation.FILE_NAME:
        from autoseg.documents.plan import Plan  # slow import: it loads all architectures

        return store.load(Plan, path).labels
    declared = declared_labels(read_description(path))
    if declared is None:
        msg = f'{path} declares no labels. Write them as {{"labels": {{"background": 0, …}}}}.'
        raise DatasetError(msg)
    if declared.background is None:
        declared = replace(declared, names={0: BACKGROUND} | declared.names)
    return declared.scheme(declared.background or 0)
