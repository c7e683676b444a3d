"""The cases of a prediction and their output files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.datasets.inputs import InputCase
from autoseg.documents import store
from autoseg.documents.quality import CaseTtaConsistency
from autoseg.inference.probabilities import has_probabilities
from autoseg.stages.predict.outputs.base import CaseOutput


@dataclass(frozen=True)
class CaseTask:
    """An image to predict.

    Attributes:
        case: The image.
        outputs: Outputs to write; the label map is the last one.
        probabilities: Folder for the probabilities of a single configuration, on its own grid; None
            to discard them.
    """

    case: InputCase
    outputs: tuple[CaseOutput, ...]
    probabilities: Path | None = None

    @property
    def label_map(self) -> Path:
        """Path of the label map."""
        (path,) = self.outputs[-1].paths(self.case)
        return path

    @property
    def is_finished(self) -> bool:
        """Whether all output files exist."""
        if self.probabilities is not None:
            agreement = self.probabilities / CaseTtaConsistency.FILE_NAME
            if not (has_probabilities(self.probabilities) and agreement.is_file()):
                return False
        return all(output.exists(self.case) for output in self.outputs)

    def saved_agreement(self) -> tuple[CaseTtaConsistency, ...]:
        """Load the TTA consistency of a finished task; empty if probabilities are not saved."""
        if self.probabilities is None:
            return ()
        path = self.probabilities / CaseTtaConsistency.FILE_NAME
        return (store.load(CaseTtaConsistency, path),)


def protect_inputs(tasks: Sequence[CaseTask]) -> None:
    """Raise a DatasetError if an output would overwrite an input."""
    inputs = {path.resolve() for task in tasks for path in task.case.images}
    for task in tasks:
        for path in (path for output in task.outputs for path in output.paths(task.case)):
            if path.resolve() in inputs:
                msg = f"{path} would overwrite an input. Choose another output folder."
                raise DatasetError(msg)
