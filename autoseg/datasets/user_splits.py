"""Folds that the user gives, written as nnU-Net or as autoseg does, and what is wrong with them.

nnU-Net's `splits_final.json` is a list of `{"train": [...], "val": [...]}`; autoseg's `splits.json`
holds such a list as `folds`, with `validation` written out.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from autoseg.core.errors import DatasetError
from autoseg.documents.splits import Fold
from autoseg.documents.store import explain

FILE_NAMES = ("splits.json", "splits_final.json")
"""What such a file in a dataset's folder is called; the first that is there counts."""


class _GivenFold(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    train: tuple[str, ...]
    validation: tuple[str, ...] = Field(validation_alias=AliasChoices("validation", "val"))


_FOLDS = TypeAdapter(tuple[_GivenFold, ...])


def file_with_splits(root: Path) -> Path | None:
    """Return the file in a dataset's folder that gives its folds, or None."""
    return next((root / name for name in FILE_NAMES if (root / name).is_file()), None)


def read_folds(path: Path) -> tuple[Fold, ...]:
    """Return the folds that a file gives.

    Raises:
        DatasetError: If it cannot be read, or a fold lacks training or validation cases.
    """
    if not path.is_file():
        msg = (
            f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; expected a file of "
            "folds, such as splits.json of autoseg or splits_final.json of nnU-Net. Name it."
        )
        raise DatasetError(msg)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        given = _FOLDS.validate_python(content["folds"] if isinstance(content, dict) else content)
    except (OSError, ValueError, KeyError) as error:
        reason = f"\n{explain(error)}\n" if isinstance(error, ValidationError) else f" ({error}). "
        msg = (
            f"{path} gives no folds{reason}Expected a list with "
            '{"train": ["case_1", …], "val": ["case_2", …]} for each fold; if the file is about '
            "something else, give it another name."
        )
        raise DatasetError(msg) from error
    for index, fold in enumerate(given):
        if not (fold.train and fold.validation):
            side = "validation" if fold.train else "training"
            msg = f"fold {index} of {path} has no {side} cases. Name some, or remove the fold."
            raise DatasetError(msg)
    if not given:
        msg = f"{path} holds no fold. Write one, or remove the file for folds of autoseg's own."
        raise DatasetError(msg)
    return tuple(Fold(train=fold.train, validation=fold.validation) for fold in given)


def check_folds(folds: tuple[Fold, ...], groups: Mapping[str, str | None], *, path: Path) -> None:
    """Check folds that a user gives against the cases that there are.

    Args:
        folds: As the file has them.
        groups: Every case of the dataset with its group; None makes a case its own group.
        path: The file, for messages.

    Raises:
        DatasetError: If a fold names an unknown case or one twice, trains on a case that it holds
            out, or tears a group apart.
    """
    for index, fold in enumerate(folds):
        names = (*fold.train, *fold.validation)
        unknown = [name for name in names if name not in groups]
        repeated = [name for name, count in Counter(names).items() if count > 1]
        torn = set(_groups(fold.train, groups)) & set(_groups(fold.validation, groups))
        if unknown:
            issue = (
                f"names {_some(unknown)}, which the dataset does not have (or which were left "
                f"out). Its cases are called like {next(iter(groups))}. Correct the names."
            )
        elif both := sorted(set(fold.train) & set(fold.validation)):
            issue = (
                f"trains on {_some(both)} and holds the same out, so that its score would be of "
                "cases that it knows. Remove them from one side."
            )
        elif repeated:
            issue = f"names {_some(repeated)} more than once. Keep one of each."
        elif torn:
            issue = (
                f"has the group {_some(sorted(torn))} on both sides, so that its score would be "
                "too good. Move the group's cases to one side; or, to use the folds as they are, "
                "remove the groups from the dataset."
            )
        else:
            continue
        msg = f"fold {index} of {path} {issue}"
        raise DatasetError(msg)


def notes_on_folds(folds: tuple[Fold, ...]) -> tuple[str, ...]:
    """Return sentences on folds that do not hold every case out exactly once."""
    counts = Counter(name for fold in folds for name in fold.validation)
    trained = {name for fold in folds for name in fold.train}
    never = sorted(trained - counts.keys())
    often = sorted(name for name, count in counts.items() if count > 1)
    notes = []
    if never:
        notes.append(
            f"{len(never)} cases are held out in no fold, so that cross-validation says nothing "
            f"about them: {_some(never)}"
        )
    if often:
        notes.append(
            f"{len(often)} cases are held out in several folds, and count by the first of them: "
            f"{_some(often)}"
        )
    return tuple(notes)


def _groups(names: tuple[str, ...], groups: Mapping[str, str | None]) -> list[str]:
    found = (groups.get(name) for name in names)
    return [group for group in found if group is not None]


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:5])}{' …' if len(names) > 5 else ''}"
