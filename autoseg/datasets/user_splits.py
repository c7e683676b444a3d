"""Read and check the user's splits, in the format of nnU-Net or of autoseg.

nnU-Net's `splits_final.json` is a list of `{"train": [...], "val": [...]}`; autoseg's `splits.json`
holds such a list in the field `folds`, with the key `validation` instead of `val`.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_names
from autoseg.core.json_text import read_json
from autoseg.core.names import FileName
from autoseg.documents.splits import Fold
from autoseg.documents.store import format_validation_error

FILE_NAMES = ("splits.json", "splits_final.json")
"""Names of such a file in a dataset's folder; the first existing one is used."""


class _UserFold(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    train: tuple[FileName, ...]
    validation: tuple[FileName, ...] = Field(validation_alias=AliasChoices("validation", "val"))


_FOLDS = TypeAdapter(tuple[_UserFold, ...])


def find_splits_file(root: Path) -> Path | None:
    """Return the splits file in a dataset's folder, or None."""
    return next((root / name for name in FILE_NAMES if (root / name).is_file()), None)


def read_folds(path: Path) -> tuple[Fold, ...]:
    """Load the folds of a splits file.

    Raises:
        DatasetError: If the file cannot be read, or a fold has no training or validation cases.
    """
    if not path.is_file():
        raise DatasetError(
            f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; expected a splits "
            "file, such as splits.json of autoseg or splits_final.json of nnU-Net. Correct the "
            "path."
        )
    try:
        content = read_json(path)
        given = _FOLDS.validate_python(content["folds"] if isinstance(content, dict) else content)
    except (OSError, ValueError, KeyError) as error:
        reason = (
            f"\n{format_validation_error(error)}\n"
            if isinstance(error, ValidationError)
            else f" ({error}). "
        )
        raise DatasetError(
            f"{path} is not a valid splits file{reason}Expected a list with "
            '{"train": ["case_1", …], "val": ["case_2", …]} for each fold. If the file has another '
            "purpose, rename it."
        ) from error
    for index, fold in enumerate(given):
        if not (fold.train and fold.validation):
            side = "validation" if fold.train else "training"
            msg = f"fold {index} of {path} has no {side} cases. Add some, or remove the fold."
            raise DatasetError(msg)
    if not given:
        msg = f"{path} contains no folds. Add some, or remove the file to use autoseg's own folds."
        raise DatasetError(msg)
    return tuple(Fold(train=fold.train, validation=fold.validation) for fold in given)


def check_folds(folds: tuple[Fold, ...], groups: Mapping[str, str | None], *, path: Path) -> None:
    """Check the user's folds against the cases of the dataset.

    Args:
        folds: Folds in the file.
        groups: Group of each case of the dataset; None for a case without a group.
        path: Path of the file, for messages.

    Raises:
        DatasetError: If a fold has an unknown or repeated case, or a case or group that is in both
            train and validation.
    """
    for index, fold in enumerate(folds):
        names = (*fold.train, *fold.validation)
        unknown = [name for name in names if name not in groups]
        repeated = [name for name, count in Counter(names).items() if count > 1]
        leaked = set(_groups(fold.train, groups)) & set(_groups(fold.validation, groups))
        if unknown:
            issue = (
                f"contains {format_names(unknown)}, which is not in the dataset (or was left out). "
                f"Cases have names like {next(iter(groups))}. Correct the names."
            )
        elif both := sorted(set(fold.train) & set(fold.validation)):
            issue = (
                f"has {format_names(both)} in both train and validation (leakage). Remove them "
                "from one of the two."
            )
        elif repeated:
            issue = f"lists {format_names(repeated)} more than once. Keep one of each."
        elif leaked:
            issue = (
                f"has the group {format_names(sorted(leaked))} in both train and validation "
                "(leakage). Move its cases to one of the two, or remove the groups from the "
                "dataset to use the folds as they are."
            )
        else:
            continue
        raise DatasetError(f"fold {index} of {path} {issue}")


def fold_warnings(folds: tuple[Fold, ...]) -> tuple[str, ...]:
    """Return warnings about cases that are not held out in exactly one fold."""
    counts = Counter(name for fold in folds for name in fold.validation)
    trained = {name for fold in folds for name in fold.train}
    never = sorted(trained - counts.keys())
    often = sorted(name for name, count in counts.items() if count > 1)
    notes = []
    if never:
        notes.append(
            f"{len(never)} cases are not held out in any fold, so they have no cross-validation "
            f"scores: {format_names(never)}"
        )
    if often:
        notes.append(
            f"{len(often)} cases are held out in several folds; the first of these folds is used "
            f"for their scores: {format_names(often)}"
        )
    return tuple(notes)


def _groups(names: tuple[str, ...], groups: Mapping[str, str | None]) -> list[str]:
    return [group for name in names if (group := groups.get(name)) is not None]
