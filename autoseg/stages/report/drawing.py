"""Read cases for a report, and draw them, in worker processes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TypeVar

import numpy as np

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme
from autoseg.core.parallel import Failure, run_each
from autoseg.core.progress import Progress
from autoseg.datasets.loading import load_case
from autoseg.documents.dataset import CaseFiles
from autoseg.readers import read_labels
from autoseg.reporting.blocks import SlicedCase
from autoseg.reporting.case_look import CaseArrays, CaseLook, look_at
from autoseg.reporting.slices import sliced_case

R = TypeVar("R")


@dataclass(frozen=True)
class CaseTask:
    """A case to read.

    Attributes:
        files: Its files.
        labels: The classes.
        prediction: File of the predicted label map; None without a prediction.
        probabilities: Folder of its stored probabilities; None if they are not needed.
        caption: Text above its slices.
        focus: Slice that is shown first, counted from 0; None for the one in the middle.
    """

    files: CaseFiles
    labels: LabelScheme
    prediction: Path | None = None
    probabilities: Path | None = None
    caption: str = ""
    focus: int | None = None


@dataclass(frozen=True)
class Drawer:
    """Reads and draws cases in worker processes.

    Attributes:
        workers: Number of processes.
        progress: Receives the progress.
        deadline: Time on the clock `time.monotonic` after which no further case is read; None for
            no limit.
    """

    workers: int
    progress: Progress
    deadline: float | None = None

    def looks(self, tasks: Sequence[CaseTask]) -> tuple[tuple[CaseLook, ...], tuple[str, ...]]:
        """Return the looks at cases, sorted by name, and a sentence per case without one."""
        done, issues = self.each(_look, tasks, "Drawing cases")
        return tuple(sorted(done, key=lambda look: look.name)), issues

    def slices(self, tasks: Sequence[CaseTask]) -> tuple[SlicedCase, ...]:
        """Return the slices of cases, in their order, without cases that cannot be read."""
        done, _ = self.each(_slices, tasks, "Drawing slices")
        order = [task.files.name for task in tasks]
        return tuple(sorted(done, key=lambda case: order.index(case.name)))

    def each(
        self, function: Callable[[CaseTask], R], tasks: Sequence[CaseTask], title: str
    ) -> tuple[list[R], tuple[str, ...]]:
        """Run a function on cases in worker processes.

        Args:
            function: A picklable function of a task.
            tasks: The cases.
            title: Label of the progress bar.

        Returns:
            Its results, without those of cases after the deadline, and a sentence per case that
            raised an error.
        """
        timed = partial(_until, self.deadline, function)
        outcomes = run_each(timed, tasks, workers=self.workers)
        done, issues = [], []
        for outcome in self.progress.track(outcomes, description=title, total=len(tasks)):
            if isinstance(outcome, Failure):
                issues.append(f"{tasks[outcome.index].files.name}: {outcome.message}")
            elif outcome.value is not None:
                done.append(outcome.value)
        return done, tuple(sorted(issues))


def _until(deadline: float | None, function: Callable[[CaseTask], R], task: CaseTask) -> R | None:
    """Return the result for a task, or None after the deadline."""
    return None if deadline is not None and monotonic() > deadline else function(task)


def _look(task: CaseTask) -> CaseLook:
    return look_at(_read(task), task.labels)


def _slices(task: CaseTask) -> SlicedCase:
    return sliced_case(_read(task), task.caption, task.focus)


def _read(task: CaseTask) -> CaseArrays:
    """Read a case; unannotated voxels become background in reference and prediction."""
    case = load_case(task.files, task.labels)
    prediction: LabelArray | None = None
    if task.prediction is not None:
        values = read_labels(task.prediction, like=case.image).values
        if values.shape != case.classes.shape:
            msg = f"the size of {task.prediction} is not that of its image. Predict it again."
            raise CaseError(msg)
        prediction = task.labels.encode(values)
    reference, ignored = case.classes, task.labels.ignored_index
    if ignored is not None:
        unknown = reference == ignored
        reference = np.where(unknown, 0, reference)
        prediction = None if prediction is None else np.where(unknown, 0, prediction)
    geometry = case.image.geometry
    return CaseArrays(
        name=case.name,
        image=case.image.voxels,
        reference=reference,
        prediction=prediction,
        spacing=geometry.spacing,
        unit=geometry.unit,
    )
