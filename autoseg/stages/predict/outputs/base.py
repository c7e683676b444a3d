"""Base class of the files that are written for each case."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from autoseg.core.arrays import LabelArray
from autoseg.core.case import Image
from autoseg.datasets.inputs import InputCase
from autoseg.documents.plan import Plan
from autoseg.inference.probabilities import Probabilities


@dataclass(frozen=True)
class CasePrediction:
    """The prediction of one case.

    Attributes:
        case: The case.
        image: The image in the plan's orientation; its voxels are 0 unless an output needs them.
        values: Label values in the same orientation.
        probabilities: Probabilities of each member of the model, if an output needs them.
    """

    case: InputCase
    image: Image
    values: LabelArray
    probabilities: tuple[Probabilities, ...] = ()


@dataclass(frozen=True)
class CaseOutput(ABC):
    """One kind of file, written atomically for each case.

    Attributes:
        folder: Output folder of the command.
        plan: Plan of the model, with its labels and channels.
        needs_voxels: Whether the intensities of the image are needed.
        needs_probabilities: Whether the probabilities are needed.
    """

    folder: Path
    plan: Plan
    needs_voxels: ClassVar[bool] = False
    needs_probabilities: ClassVar[bool] = False

    @abstractmethod
    def paths(self, case: InputCase) -> tuple[Path, ...]:
        """Return the file of a case, or the files of which one is written."""

    def exists(self, case: InputCase) -> bool:
        """Return True if the file of a case exists."""
        return any(path.exists() for path in self.paths(case))

    def check(self, case: InputCase, image: Image) -> None:
        """Check that the file can be written, before the image is predicted.

        Raises:
            CaseError: If it cannot.
        """
        del case, image

    @abstractmethod
    def write(self, prediction: CasePrediction) -> None:
        """Write the file of a case; called in the export thread.

        Raises:
            CaseError: If its format cannot store the prediction.
        """

    def finish(self) -> None:
        """Write what concerns all cases, after the last one."""
        return
