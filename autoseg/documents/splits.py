"""Which cases each fold of the cross-validation holds out, and what folds are called."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt

from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen

ALL: Literal["all"] = "all"
"""Name of the fold that trains on every case and holds none out."""

FoldName = NonNegativeInt | Literal["all"]
"""What a fold is called: its number in the cross-validation, or `ALL`."""


def fold_named(text: str) -> FoldName | None:
    """Return the fold that a text names, such as "0" or "all"; None if it names none."""
    if text == ALL:
        return ALL
    return int(text) if text.isascii() and text.isdigit() else None


def in_order(folds: Iterable[FoldName]) -> tuple[FoldName, ...]:
    """Return folds by their number, `ALL` last."""
    return tuple(sorted(folds, key=lambda fold: (fold == ALL, fold)))


def averaged_folds(trained: tuple[FoldName, ...]) -> tuple[FoldName, ...]:
    """Return which of the trained folds are used when nobody says which.

    The network that was trained on every case joins no average unasked: its quality is not known.
    """
    return tuple(fold for fold in trained if fold != ALL) or trained


class Fold(Frozen):
    """One split of the cases.

    Attributes:
        train: Names of the cases trained on.
        validation: Names of the cases held out.
    """

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    validation: tuple[str, ...]

    @property
    def resubstitution(self) -> bool:
        """Whether it is scored on cases that it is trained on, which measures nothing."""
        return not set(self.train).isdisjoint(self.validation)


class Splits(Frozen):
    """All folds; written once, then read, so that every configuration sees the same ones.

    Attributes:
        seed: Of the shuffling.
        reason: How the cases were divided, for the reader.
        folds: Fold 0 first.
        source: The user's file that they are from; None if autoseg dealt the cases out.
    """

    schema_version: Literal[1] = 1
    seed: int
    reason: str
    folds: Annotated[tuple[Fold, ...], Field(min_length=1)]
    source: Path | None = None

    def fold(self, index: int) -> Fold:
        """Return one fold of the cross-validation.

        Raises:
            TrainingError: If there is no such fold.
        """
        if not 0 <= index < len(self.folds):
            msg = (
                f"there is no fold {index}: this dataset has folds 0 to {len(self.folds) - 1} "
                f"({self.reason}). Choose one of them with --fold, or --fold all for a training "
                "on every case."
            )
            raise TrainingError(msg)
        return self.folds[index]
