"""Predict the label map of an image with all configurations of a model.

With a single configuration, logits are converted directly to classes. With several configurations,
each stores compressed probabilities, which are averaged once the last one has finished.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from autoseg.core.arrays import LabelArray, count_not_finite
from autoseg.core.case import Image, InverseTransform, PreparedImage
from autoseg.core.errors import CaseError
from autoseg.core.progress import Progress
from autoseg.documents.preparation import Resampling
from autoseg.inference.averaging import ensemble_class_map
from autoseg.inference.blending import LogitsSlab
from autoseg.inference.cascade_input import cascade_input_as_nnunet, to_cascade_input
from autoseg.inference.export import class_map
from autoseg.inference.export_queue import ExportThread
from autoseg.inference.out_of_distribution import out_of_distribution_warnings
from autoseg.inference.probabilities import (
    Probabilities,
    ProbabilityGrid,
    compress_probabilities,
    keep_probabilities,
    save_probabilities,
)
from autoseg.inference.selected_model import ReadyModel, SelectedModel
from autoseg.inference.sliding_window import predict_slabs
from autoseg.models.loader import LoadedModel
from autoseg.preprocessing.crop import fill_holes, nonzero_voxels
from autoseg.preprocessing.prepare import prepare_image
from autoseg.preprocessing.resample import separate_axis

R = TypeVar("R")


@dataclass(frozen=True)
class Prediction:
    """The prediction for an image.

    Attributes:
        indices: Predicted index of every voxel, canonical axis order; see `LabelScheme.decode`.
        probabilities: Probabilities of each member; empty for a single member that did not keep
            them.
    """

    indices: LabelArray
    probabilities: tuple[Probabilities, ...] = ()


@dataclass(frozen=True)
class PredictionTask(Generic[R]):
    """An image to predict.

    Attributes:
        prepared: The image, prepared for each member of the model.
        finish: Callback that receives the prediction; called in the export thread.
        workers: Number of export threads.
        probabilities: Output folder for the probabilities of a single member; None to discard them.
        keeps_probabilities: Whether `finish` gets the probabilities of a single member, too.
    """

    prepared: tuple[PreparedImage, ...]
    finish: Callable[[Prediction], R]
    workers: int = 1
    probabilities: Path | None = None
    keeps_probabilities: bool = False


def predict_image(
    image: Image, model: SelectedModel, *, workers: int = 1, progress: Progress | None = None
) -> LabelArray:
    """Predict the label value of every voxel, in the plan's orientation.

    Args:
        image: The image in the plan's orientation, with the channels of the plan.
        model: The model.
        workers: Number of export threads.
        progress: Receives warnings and the current position.

    Raises:
        CaseError: If the image does not match the model, or a patch does not fit into the device's
            memory.
    """
    prepared = prepare_for_members(image, model)
    task = PredictionTask(prepared, lambda found: model.values(found.indices), workers)
    with ExportThread() as exports:
        return start_prediction(task, model.members, exports, progress=progress).result()


def predict_probabilities(
    image: Image, model: SelectedModel, *, workers: int = 1
) -> tuple[LabelArray, tuple[Probabilities, ...]]:
    """Predict the label values of an image, and the probabilities of each member; see above.

    Args:
        image: The image in the plan's orientation, with the channels of the plan.
        model: The model.
        workers: Number of export threads.

    Raises:
        CaseError: As `predict_image`.
    """
    task = PredictionTask(
        prepare_for_members(image, model),
        lambda found: (model.values(found.indices), found.probabilities),
        workers,
        keeps_probabilities=True,
    )
    with ExportThread() as exports:
        return start_prediction(task, model.members, exports).result()


def predict_classes(
    prepared: PreparedImage,
    model: ReadyModel,
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
    task = PredictionTask((prepared,), finish=lambda found: found.indices, workers=workers)
    with ExportThread() as exports:
        return start_prediction(task, (model,), exports, progress=progress).result()


def start_prediction(
    task: PredictionTask[R],
    members: Sequence[ReadyModel],
    exports: ExportThread,
    *,
    progress: Progress | None = None,
) -> Future[R]:
    """Run all networks on an image and return the future result of `task.finish`.

    Returns when the networks have finished. The export continues in its own thread, so that the
    next image can start. The future raises errors of this image.

    Args:
        task: The image and what to do with the prediction.
        members: One configuration, or several whose probabilities are averaged.
        exports: Thread that exports the predictions.
        progress: Receives warnings and the current position.
    """
    if len(members) == 1:
        return _start_single(task, members[0], exports, progress)
    futures = [
        exports.feed(
            predict_logits(prepared, member, workers=task.workers, progress=progress),
            partial(compress_probabilities, grid=probability_grid(prepared, member.loaded)),
        )
        for prepared, member in zip(task.prepared, members, strict=True)
    ]

    def average() -> R:
        probabilities = tuple(future.result() for future in futures)
        indices = ensemble_class_map(probabilities, workers=task.workers)
        return task.finish(Prediction(indices, probabilities))

    return exports.submit(average)


def _start_single(
    task: PredictionTask[R], model: ReadyModel, exports: ExportThread, progress: Progress | None
) -> Future[R]:
    """Start a prediction with one member: its logits are converted directly to classes."""
    (prepared,) = task.prepared
    grid = probability_grid(prepared, model.loaded)

    def export(slabs: Iterator[LogitsSlab]) -> R:
        if task.probabilities is not None:
            slabs = save_probabilities(slabs, grid, task.probabilities)
        kept: list[Probabilities] = []
        if task.keeps_probabilities:
            slabs = keep_probabilities(slabs, grid, kept)
        classes = class_map(
            slabs,
            grid.restoration,
            orders=grid.orders,
            workers=task.workers,
            is_regional=grid.is_regional,
            in_half_precision=model.ensemble.blending == "nnunet",
        )
        return task.finish(Prediction(classes, tuple(kept)))

    slabs = predict_logits(prepared, model, workers=task.workers, progress=progress)
    return exports.feed(slabs, export)


def predict_logits(
    prepared: PreparedImage,
    model: ReadyModel,
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
        tiles_per_batch=model.loaded.configuration.batch_size,
        progress=progress,
    )


def with_cascade_input(
    prepared: PreparedImage,
    model: ReadyModel,
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
    configuration, previous = model.loaded.configuration, prepared.previous
    if previous is None:
        msg = (
            f"the image is not prepared for the previous stage of {configuration.name}; "
            "expected `prepared.previous`. Prepare the image with `prepare_for_model`."
        )
        raise ValueError(msg)
    target, is_nnunet = prepared.restoration, configuration.blending == "nnunet"
    if not is_nnunet:
        previous = replace(previous, restoration=previous.restoration.onto(target))
    outputs = predict_classes(previous, model.previous, workers=workers, progress=progress)
    cascade_input = to_cascade_input(outputs, model.loaded.plan.labels)
    if is_nnunet:  # nnU-Net passes label files at the original resolution between stages
        classes = cascade_input_as_nnunet(
            cascade_input.classes, prepared.outside, target, configuration.resampling
        )
        cascade_input = replace(cascade_input, classes=classes)
    return replace(prepared, previous=None, cascade_input=cascade_input, outside=None)


def prepare_for_members(image: Image, model: SelectedModel) -> tuple[PreparedImage, ...]:
    """Prepare an image for each member of a model.

    Raises:
        CaseError: If the channels or axes do not match the model, or a value is not finite.
    """
    return tuple(prepare_for_model(image, member.loaded) for member in model.members)


def prepare_for_model(image: Image, model: LoadedModel) -> PreparedImage:
    """Prepare an image for a model and its previous stages.

    Raises:
        CaseError: If the channels or axes do not match the model, or a value is not finite.
    """
    if count := count_not_finite(image.voxels):
        msg = (
            f"the image contains {count} NaN or infinite values; expected finite intensities. "
            "Replace them, e.g. with 0."
        )
        raise CaseError(msg)
    prepared = prepare_image(image, model.plan, model.configuration)
    if model.previous is None:
        return prepared
    outside = None
    if model.configuration.blending == "nnunet":
        mask = ~fill_holes(nonzero_voxels(image.voxels))
        outside = mask if mask.any() else None
    return replace(prepared, previous=prepare_for_model(image, model.previous), outside=outside)


def ood_warnings(image: Image, model: LoadedModel) -> tuple[str, ...]:
    """Return out-of-distribution warnings for an image, compared with the model's training data.

    Also empty if the model does not contain a fingerprint.
    """
    if model.data is None:
        return ()
    names = model.plan.channel_names
    return out_of_distribution_warnings(image, model.data, model.configuration.normalizers, names)


def probability_grid(prepared: PreparedImage, model: LoadedModel) -> ProbabilityGrid:
    """Describe the grid and the outputs of a model's probabilities for an image."""
    labels, restoration = model.plan.labels, prepared.restoration
    return ProbabilityGrid(
        restoration=restoration,
        orders=export_orders(restoration, model.configuration.resampling),
        num_outputs=labels.num_outputs,
        is_regional=bool(labels.regions),
    )


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
