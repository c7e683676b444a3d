"""Which cases each fold of the cross-validation holds out."""

from typing import Annotated, Literal

from pydantic import Field

from autoseg.core.errors import TrainingError
from autoseg.core.frozen import Frozen


class Fold(Frozen):
    """One split of the cases.

    Attributes:
        train: Names of the cases trained on.
        validation: Names of the cases held out.
    """

    train: Annotated[tuple[str, ...], Field(min_length=1)]
    validation: tuple[str, ...]


class Splits(Frozen):
    """All folds; written once, then read, so that every configuration sees the same ones.

    Attributes:
        seed: Of the shuffling.
        because: How the cases were divided, for the reader.
        folds: Fold 0 first.
    """

    schema_version: Literal[1] = 1
    seed: int
    because: str
    folds: tuple[Fold, ...]

    def fold(self, index: int) -> Fold:
        """Return one fold.

        Raises:
            TrainingError: If there is no such fold.
        """
        if not 0 <= index < len(self.folds):
            msg = (
                f"there is no fold {index}: this dataset has folds 0 to {len(self.folds) - 1} "
                f"({self.because}). Choose one of them with --fold."
            )
            raise TrainingError(msg)
        return self.folds[index]
