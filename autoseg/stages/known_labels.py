"""What the values in label maps mean, from whatever says so."""

from dataclasses import replace
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelScheme
from autoseg.datasets.layouts.declared_labels import BACKGROUND, declared_labels
from autoseg.datasets.layouts.description import read_description
from autoseg.datasets.layouts.recognition import recognise
from autoseg.documents import store
from autoseg.documents.model import PLAN_NAME

DESCRIPTION_NAME = "dataset.json"


def known_labels(path: Path, *, workers: int = 1) -> LabelScheme:
    """Return the classes, regions and ignore value that a file or folder speaks of.

    Args:
        path: A `plan.json`, a `dataset.json` as datasets have it, or a folder with one of them: a
            work folder, a model, a dataset. A dataset without JSON is looked through.
        workers: Processes that read label files, where no JSON says which values occur.

    Raises:
        DatasetError: If there is no such file or it declares no labels.
        DocumentError: If the plan is damaged.
    """
    if not path.is_dir():
        return _of_file(path)
    for name in (PLAN_NAME, DESCRIPTION_NAME):
        if (path / name).is_file():
            return _of_file(path / name)
    return recognise(path, workers=workers).spec.labels


def _of_file(path: Path) -> LabelScheme:
    """Return the labels of a plan or of a dataset's description; value 0 is background if none is.

    Raises:
        DatasetError: If there are none.
        DocumentError: If it is a damaged plan.
    """
    if path.name == PLAN_NAME:
        from autoseg.documents.plan import Plan  # knows all networks, and so takes seconds

        return store.load(Plan, path, made_by="autoseg plan").labels
    declared = declared_labels(read_description(path))
    if declared is None:
        msg = f'{path} declares no labels. Write them as {{"labels": {{"background": 0, …}}}}.'
        raise DatasetError(msg)
    if declared.background is None:
        declared = replace(declared, names={0: BACKGROUND} | declared.names)
    return declared.scheme(declared.background or 0)
