"""From an image to its label map, with all configurations of a chosen model.

A single configuration goes straight from logits to classes. Of several, each leaves its compact
probabilities, and when the last is through their mean decides.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from autoseg.core.arrays import LabelArray
from autoseg.core.case import Image, PreparedImage
from autoseg.core.progress import Progress
from autoseg.inference.averaging import ensemble_class_map
from autoseg.inference.export_queue import ExportThread
from autoseg.inference.model import LoadedModel
from autoseg.inference.model_selection import SelectedModel
from autoseg.inference.prediction import (
    PredictionTask,
    logits_of,
    prepared_for,
    probability_grid,
    start_prediction,
)
from autoseg.inference.probabilities import Probabilities, compacted

R = TypeVar("R")


@dataclass(frozen=True)
class JointPredictionTask(Generic[R]):
    """One image to predict with all members.

    Attributes:
        prepared: The image as each member sees it.
        finish: What becomes of the index of every voxel; called in the export's thread.
        workers: Threads of the export.
        probabilities: Folder to keep the probabilities of a single member in; None to keep none.
    """

    prepared: tuple[PreparedImage, ...]
    finish: Callable[[LabelArray], R]
    workers: int = 1
    probabilities: Path | None = None


def prepared_for_all(image: Image, model: SelectedModel) -> tuple[PreparedImage, ...]:
    """Return the image as each member sees it.

    Raises:
        CaseError: If it has other channels or axes than the model, or a value is not finite.
    """
    return tuple(prepared_for(image, member) for member in model.members)


def predict_chosen(
    image: Image, model: SelectedModel, *, workers: int = 1, progress: Progress | None = None
) -> LabelArray:
    """Return the label value of every voxel, as label files have them, in the plan's orientation.

    Args:
        image: The image, turned as the plan says; its channels are those of the plan.
        model: The model.
        workers: Threads of the export.
        progress: Where warnings and the position go.

    Raises:
        CaseError: If the image does not fit the model, or does not fit the device.
    """
    task = JointPredictionTask(prepared_for_all(image, model), finish=model.values, workers=workers)
    with ExportThread() as exports:
        return start_joint(task, model, exports, progress=progress).result()


def start_joint(
    task: JointPredictionTask[R],
    model: SelectedModel,
    exports: ExportThread,
    *,
    progress: Progress | None = None,
) -> Future[R]:
    """Return what `task.finish` will return, once all networks are through with the image.

    The export goes on in its own thread, so the next image can start. An error of this image comes
    out of the future.
    """
    if len(model.members) == 1:
        alone = PredictionTask(task.prepared[0], task.finish, task.workers, task.probabilities)
        return start_prediction(alone, model.members[0], exports, progress=progress)
    found = [
        _started(prepared, member, exports, task.workers, progress)
        for prepared, member in zip(task.prepared, model.members, strict=True)
    ]

    def decide() -> R:
        parts = [part.result() for part in found]
        return task.finish(ensemble_class_map(parts, workers=task.workers))

    return exports.submit(decide)


def _started(
    prepared: PreparedImage,
    member: LoadedModel,
    exports: ExportThread,
    workers: int,
    progress: Progress | None,
) -> Future[Probabilities]:
    """Return what one member will have found, once its networks are through with the image."""
    grid = probability_grid(prepared, member)
    slabs = logits_of(prepared, member, workers=workers, progress=progress)
    return exports.feed(slabs, lambda slabs: compacted(slabs, grid))
