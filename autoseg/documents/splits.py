"""Cross-validation splits: names of folds, and the held-out cases of each."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen, NonNegativeInt
from autoseg.core.json_text import whole_number
from autoseg.core.names import FileName
from autoseg.documents.document import Document

ALL: Literal["all"] = "all"
"""Name of the fold that trains on all cases, without held-out cases."""

FoldName = NonNegativeInt | Literal["all"]
"""Name of a fold: its number in the cross-validation, or `ALL`."""


def fold_from_name(text: str) -> FoldName | None:
    """Parse the name of a fold, such as "0" or "all"; return None if it is not valid."""
    if text == ALL:
        return ALL
    return whole_number(text)


def fold_from_folder(name: str) -> FoldName | None:
    """Parse the name of a fold's folder, such as "fold_0"; return None if it is not valid."""
    return fold_from_name(name.removeprefix("fold_")) if name.startswith("fold_") else None


def sort_folds(folds: Iterable[FoldName]) -> tuple[FoldName, ...]:
    """Sort folds by number, with `ALL` last."""
    return tuple(sorted(folds, key=lambda fold: (fold == ALL, fold)))


def default_folds(trained: tuple[FoldName, ...]) -> tuple[FoldName, ...]:
    """Return the folds that are used by default.

    The fold `ALL` is used only if it is the only one, because it has no held-out cases and its
    quality is therefore unknown.
    """
    return tuple(fold for fold in trained if fold != ALL) or trained


class Fold(Frozen):
    """One split of the cases.

    Attributes:
        train: Names of the training cases.
        validation: Names of the held-out cases.
    """

    train: Annotated[tuple[FileName, ...], Field(min_length=1)]
    validation: tuple[FileName, ...]

    @property
    def resubstitution(self) -> bool:
        """Whether held-out cases are also training cases, so that their scores are meaningless."""
        return not set(self.train).isdisjoint(self.validation)


class Splits(Document):
    """All folds; written once, so that all configurations use the same ones.

    Attributes:
        seed: Seed of the shuffling.
        reason: Description of how the cases were split.
        folds: The folds, starting with fold 0.
        source: The user's file with the splits; None if autoseg created them.
    """

    FILE_NAME: ClassVar[str] = "splits.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[1] = 1
    seed: int
    reason: str
    folds: Annotated[tuple[Fold, ...], Field(min_length=1)]
    source: Path | None = None

    def fold(self, index: int) -> Fold:
        """Return a fold of the cross-validation.

        Raises:
            TrainingError: If there is no such fold.
        """
        if not 0 <= index < len(self.folds):
            msg = (
                f"there is no fold {index}: this dataset has folds 0 to {len(self.folds) - 1} "
                f"({self.reason}). Choose one of them with --fold, or --fold all to train on all "
                "cases."
            )
            raise TrainingError(msg)
        return self.folds[index]
