"""Predict the label map of an image with all configurations of a selected model.

With a single configuration, logits are converted directly to classes. With several configurations,
each stores compressed probabilities, which are averaged once the last one has finished.
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
    predict_logits,
    prepare_for_model,
    probability_grid,
    start_prediction,
)
from autoseg.inference.probabilities import Probabilities, compress_probabilities

R = TypeVar("R")


@dataclass(frozen=True)
class JointPredictionTask(Generic[R]):
    """An image to predict with all members of a model.

    Attributes:
        prepared: The image, prepared for each member.
        finish: Callback that receives the predicted index map; called in the export thread.
        workers: Number of export threads.
        probabilities: Output folder for the probabilities of a single member; None to discard them.
    """

    prepared: tuple[PreparedImage, ...]
    finish: Callable[[LabelArray], R]
    workers: int = 1
    probabilities: Path | None = None


def prepare_for_members(image: Image, model: SelectedModel) -> tuple[PreparedImage, ...]:
    """Prepare an image for each member of a model.

    Raises:
        CaseError: If the channels or axes do not match the model, or a value is not finite.
    """
    return tuple(prepare_for_model(image, member) for member in model.members)


def predict_selected(
    image: Image, model: SelectedModel, *, workers: int = 1, progress: Progress | None = None
) -> LabelArray:
    """Predict the label value of every voxel, in the plan's orientation.

    Args:
        image: The image in the plan's orientation, with the channels of the plan.
        model: The selected model.
        workers: Number of export threads.
        progress: Receives warnings and the current position.

    Raises:
        CaseError: If the image does not match the model, or a patch does not fit into the device's
            memory.
    """
    prepared = prepare_for_members(image, model)
    task = JointPredictionTask(prepared, finish=model.values, workers=workers)
    with ExportThread() as exports:
        return start_joint_prediction(task, model, exports, progress=progress).result()


def start_joint_prediction(
    task: JointPredictionTask[R],
    model: SelectedModel,
    exports: ExportThread,
    *,
    progress: Progress | None = None,
) -> Future[R]:
    """Run all networks on an image and return the future result of `task.finish`.

    Returns when the networks have finished. The export continues in its own thread, so that the
    next image can start. The future raises errors of this image.

    Args:
        task: The image and what to do with the prediction.
        model: The selected model.
        exports: Thread that exports the predictions.
        progress: Receives warnings and the current position.
    """
    if len(model.members) == 1:
        single = PredictionTask(task.prepared[0], task.finish, task.workers, task.probabilities)
        return start_prediction(single, model.members[0], exports, progress=progress)
    futures = [
        _start_member(prepared, member, exports, task.workers, progress)
        for prepared, member in zip(task.prepared, model.members, strict=True)
    ]

    def average() -> R:
        probabilities = [future.result() for future in futures]
        return task.finish(ensemble_class_map(probabilities, workers=task.workers))

    return exports.submit(average)


def _start_member(
    prepared: PreparedImage,
    member: LoadedModel,
    exports: ExportThread,
    workers: int,
    progress: Progress | None,
) -> Future[Probabilities]:
    """Run the networks of one member and return the future of its compressed probabilities."""
    grid = probability_grid(prepared, member)
    slabs = predict_logits(prepared, member, workers=workers, progress=progress)
    return exports.feed(slabs, lambda slabs: compress_probabilities(slabs, grid))
