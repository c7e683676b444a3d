"""Predict the label map of an image with a loaded model."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from autoseg.core.arrays import LabelArray
from autoseg.core.case import CascadeInput, Image, InverseTransform, PreparedImage
from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Progress
from autoseg.documents.preparation import Resampling
from autoseg.inference.export import class_map
from autoseg.inference.export_queue import ExportThread
from autoseg.inference.model import LoadedModel
from autoseg.inference.nnunet.cascade_input import cascade_input_as_nnunet
from autoseg.inference.out_of_distribution import out_of_distribution_warnings
from autoseg.inference.probabilities import ProbabilityGrid, save_probabilities
from autoseg.inference.sliding_window import LogitsSlab, predict_slabs
from autoseg.preprocessing.crop import nonzero_mask
from autoseg.preprocessing.prepare import prepare_image
from autoseg.preprocessing.resample import separate_axis

R = TypeVar("R")


def predict_image(
    image: Image, model: LoadedModel, *, workers: int = 1, progress: Progress | None = None
) -> LabelArray:
    """Predict the label value of every voxel, in canonical orientation.

    Args:
        image: The image, with the channels of the plan.
        model: The model.
        workers: Number of export threads.
        progress: Receives warnings and the current position.

    Raises:
        CaseError: If the image does not match the model, or a patch does not fit into the device's
            memory.
    """
    prepared = prepare_for_model(image, model)
    classes = predict_classes(prepared, model, workers=workers, progress=progress)
    return model.plan.labels.decode(classes)


def ood_warnings(image: Image, model: LoadedModel) -> tuple[str, ...]:
    """Return out-of-distribution warnings for an image, compared with the model's training data.

    Also empty if the model does not contain a fingerprint.
    """
    if model.data is None:
        return ()
    names = model.plan.channel_names
    return out_of_distribution_warnings(image, model.data, model.configuration.normalizers, names)


def predict_classes(
    prepared: PreparedImage,
    model: LoadedModel,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> LabelArray:
    """Predict the class index of every voxel of the original image, in canonical orientation.

    Args:
        prepared: The prepared image.
        model: The model.
        workers: Number of export threads.
        progress: Receives warnings and the current position.

    Raises:
        CaseError: If a single patch does not fit into the device's memory, or if logits are NaN or
            infinite.
    """
    with ExportThread() as exports:
        task = PredictionTask(prepared, finish=lambda classes: classes, workers=workers)
        return start_prediction(task, model, exports, progress=progress).result()


@dataclass(frozen=True)
class PredictionTask(Generic[R]):
    """An image to predict with one model.

    Attributes:
        prepared: The prepared image.
        finish: Callback that receives the class map; called in the export thread.
        workers: Number of export threads.
        probabilities: Output folder for the probabilities; None to discard them.
    """

    prepared: PreparedImage
    finish: Callable[[LabelArray], R]
    workers: int = 1
    probabilities: Path | None = None


def start_prediction(
    task: PredictionTask[R],
    model: LoadedModel,
    exports: ExportThread,
    *,
    progress: Progress | None = None,
) -> Future[R]:
    """Run the networks on an image and return the future result of `task.finish`.

    Returns when the networks have finished. The export continues in its own thread, so that the
    next image can start. The future raises errors of this image.

    Args:
        task: The image and what to do with the prediction.
        model: The model.
        exports: Thread that exports the predictions.
        progress: Receives warnings and the current position.
    """
    restoration = task.prepared.restoration
    orders = export_orders(restoration, model.configuration.resampling)

    def export(slabs: Iterator[LogitsSlab]) -> R:
        if task.probabilities is not None:
            grid = probability_grid(task.prepared, model)
            slabs = save_probabilities(slabs, grid, task.probabilities)
        classes = class_map(
            slabs,
            restoration,
            orders=orders,
            workers=task.workers,
            is_regional=bool(model.plan.labels.regions),
            in_half_precision=model.configuration.blending == "nnunet",
        )
        return task.finish(classes)

    slabs = predict_logits(task.prepared, model, workers=task.workers, progress=progress)
    return exports.feed(slabs, export)


def predict_logits(
    prepared: PreparedImage,
    model: LoadedModel,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Iterator[LogitsSlab]:
    """Yield the logits of an image, after predicting with the previous stages.

    Args:
        prepared: The prepared image.
        model: The model.
        workers: Number of export threads of the previous stages.
        progress: Receives warnings and the current position.

    Raises:
        CaseError: If a single patch does not fit into the device's memory, or if logits are NaN or
            infinite.
    """
    yield from predict_slabs(
        model.ensemble,
        with_cascade_input(prepared, model, workers=workers, progress=progress),
        tiles_per_batch=model.configuration.batch_size,
        progress=progress,
    )


def probability_grid(prepared: PreparedImage, model: LoadedModel) -> ProbabilityGrid:
    """Describe the grid and the outputs of a model's probabilities for an image."""
    labels, restoration = model.plan.labels, prepared.restoration
    return ProbabilityGrid(
        restoration=restoration,
        orders=export_orders(restoration, model.configuration.resampling),
        num_outputs=labels.num_outputs,
        is_regional=bool(labels.regions),
    )


def prepare_for_model(image: Image, model: LoadedModel) -> PreparedImage:
    """Prepare an image for a model and its previous stages.

    Raises:
        CaseError: If the channels or axes do not match the model, or a value is not finite.
    """
    if not np.isfinite(image.voxels).all():
        count = int(np.count_nonzero(~np.isfinite(image.voxels)))
        msg = (
            f"the image contains {count} NaN or infinite values; expected finite intensities. "
            "Replace them, e.g. with 0."
        )
        raise CaseError(msg)
    prepared = prepare_image(image, model.plan, model.configuration)
    if model.previous is None:
        return prepared
    outside = None
    if (
        model.configuration.blending == "nnunet"
        and not (inside := nonzero_mask(image.voxels)).all()
    ):
        outside = ~inside
    return replace(prepared, previous=prepare_for_model(image, model.previous), outside=outside)


def with_cascade_input(
    prepared: PreparedImage,
    model: LoadedModel,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PreparedImage:
    """Run the previous stages of a cascade and add their prediction to a prepared image.

    Returns the image unchanged if the model has no previous stage, or if the image already has a
    cascade input. For models of nnU-Net, the prediction is exported to the original resolution
    first, as in nnU-Net.

    Args:
        prepared: Result of `prepare_for_model`.
        model: The model.
        workers: Number of export threads.
        progress: Receives warnings and the current position.

    Raises:
        CaseError: If a single patch does not fit into the device's memory, or if logits are NaN or
            infinite.
    """
    if model.previous is None or prepared.cascade_input is not None:
        return prepared
    previous = prepared.previous
    if previous is None:
        msg = (
            f"the image is not prepared for the previous stage of {model.configuration.name}; "
            "expected `prepared.previous`. Prepare the image with `prepare_for_model`."
        )
        raise ValueError(msg)
    target, is_nnunet = prepared.restoration, model.configuration.blending == "nnunet"
    if not is_nnunet:
        previous = replace(previous, restoration=previous.restoration.onto(target))
    outputs = predict_classes(previous, model.previous, workers=workers, progress=progress)
    cascade_input = to_cascade_input(outputs, model.plan.labels)
    if is_nnunet:  # nnU-Net passes label files at the original resolution between stages
        resampling = model.configuration.resampling
        classes = cascade_input_as_nnunet(
            cascade_input.classes, prepared.outside, target, resampling
        )
        cascade_input = replace(cascade_input, classes=classes)
    return replace(prepared, previous=None, cascade_input=cascade_input, outside=None)


def to_cascade_input(outputs: LabelArray, labels: LabelScheme) -> CascadeInput:
    """Convert a prediction to the cascade input of the next stage.

    Regions are converted to the classes that a label file would contain.

    Args:
        outputs: Predicted index per voxel.
        labels: Label scheme of the indices.
    """
    classes = labels.encode(labels.decode(outputs)) if labels.regions else outputs
    return CascadeInput(classes=classes, num_channels=labels.num_classes - 1)


def export_orders(restoration: InverseTransform, resampling: Resampling) -> tuple[int, ...]:
    """Return the interpolation order of logits per axis: 1 for linear, 0 for nearest.

    The coarse axis of anisotropic volumes is resampled separately, as in preprocessing.

    Source: nnU-Net (Isensee et al. 2021).
    """
    coarse = separate_axis(
        restoration.prepared_spacing, restoration.spacing, resampling.anisotropy_threshold
    )
    return tuple(
        resampling.separate_axis_order if axis == coarse else resampling.label_order
        for axis in range(len(restoration.spacing))
    )
