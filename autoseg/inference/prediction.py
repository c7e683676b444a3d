"""From an image to its label map, with a loaded model."""

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
from autoseg.inference.probabilities import ProbabilityGrid, saving
from autoseg.inference.sliding_window import LogitsSlab, predict_slabs
from autoseg.preprocessing.crop import nonzero_mask
from autoseg.preprocessing.prepare import prepare_image
from autoseg.preprocessing.resample import separate_axis

R = TypeVar("R")


def predict_image(
    image: Image, model: LoadedModel, *, workers: int = 1, progress: Progress | None = None
) -> LabelArray:
    """Return the label value of every voxel, as label files have them, canonical orientation.

    Args:
        image: The image; its channels are those of the plan.
        model: The model.
        workers: Threads of the export.
        progress: Where warnings and the position go.

    Raises:
        CaseError: If the image does not fit the model, or does not fit the device.
    """
    prepared = prepared_for(image, model)
    classes = predict_classes(prepared, model, workers=workers, progress=progress)
    return model.plan.labels.decode(classes)


def unlike_training(image: Image, model: LoadedModel) -> tuple[str, ...]:
    """Return a sentence for everything in which an image is unlike the model's training data.

    Empty too if the model came without a fingerprint.
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
    """Return the class index of every voxel of the whole original image, canonical orientation.

    Raises:
        CaseError: If not even one patch fits the device, or if logits are NaN or infinite.
    """
    with ExportThread() as exports:
        task = PredictionTask(prepared, finish=lambda classes: classes, workers=workers)
        return start_prediction(task, model, exports, progress=progress).result()


@dataclass(frozen=True)
class PredictionTask(Generic[R]):
    """One image to predict.

    Attributes:
        prepared: The image.
        finish: What becomes of its class map; called in the export's thread.
        workers: Threads of the export.
        probabilities: Folder to keep the probabilities in; None to keep none.
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
    """Return what `task.finish` will return, once the networks are through with the image.

    The export goes on in its own thread, so the next image can start. An error of this image comes
    out of the future.
    """
    restoration = task.prepared.restoration
    orders = export_orders(restoration, model.configuration.resampling)

    def export(slabs: Iterator[LogitsSlab]) -> R:
        if task.probabilities is not None:
            slabs = saving(slabs, probability_grid(task.prepared, model), task.probabilities)
        found = class_map(
            slabs,
            restoration,
            orders=orders,
            workers=task.workers,
            is_regional=bool(model.plan.labels.regions),
            in_half_precision=model.configuration.blending == "nnunet",
        )
        return task.finish(found)

    slabs = logits_of(task.prepared, model, workers=task.workers, progress=progress)
    return exports.feed(slabs, export)


def logits_of(
    prepared: PreparedImage,
    model: LoadedModel,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Iterator[LogitsSlab]:
    """Yield the logits of an image, after the previous stages are through with it."""
    yield from predict_slabs(
        model.ensemble,
        with_cascade_input(prepared, model, workers=workers, progress=progress),
        tiles_per_batch=model.configuration.batch_size,
        progress=progress,
    )


def probability_grid(prepared: PreparedImage, model: LoadedModel) -> ProbabilityGrid:
    """Return where a model's probabilities for an image stand, and what they are."""
    labels, restoration = model.plan.labels, prepared.restoration
    return ProbabilityGrid(
        restoration=restoration,
        orders=export_orders(restoration, model.configuration.resampling),
        num_outputs=labels.num_outputs,
        is_regional=bool(labels.regions),
    )


def prepared_for(image: Image, model: LoadedModel) -> PreparedImage:
    """Return the image as the model's networks see it.

    Raises:
        CaseError: If it has other channels or axes than the model, or a value is not finite.
    """
    if not np.isfinite(image.voxels).all():
        count = int(np.count_nonzero(~np.isfinite(image.voxels)))
        msg = (
            f"the image holds {count} NaN or infinite values, expected finite intensities. "
            "Replace them, e.g. by 0."
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
    return replace(prepared, previous=prepared_for(image, model.previous), outside=outside)


def with_cascade_input(
    prepared: PreparedImage,
    model: LoadedModel,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> PreparedImage:
    """Return the image with what the previous stages, which run now, predict on its grid.

    The image itself if the model has no previous stage, or its prediction is there already. Models
    of nnU-Net get labels that have been at the image's own resolution, as nnU-Net gives them.

    Args:
        prepared: As `prepared_for` returns it.
        model: The model.
        workers: Threads of the export.
        progress: Where warnings and the position go.

    Raises:
        CaseError: If not even one patch fits the device, or if logits are NaN or infinite.
    """
    if model.previous is None or prepared.cascade_input is not None:
        return prepared
    before = prepared.previous
    if before is None:
        msg = f"{model.configuration.name} needs the image as its previous stage sees it."
        raise ValueError(msg)
    target, is_nnunet = prepared.restoration, model.configuration.blending == "nnunet"
    if not is_nnunet:
        before = replace(before, restoration=before.restoration.onto(target))
    outputs = predict_classes(before, model.previous, workers=workers, progress=progress)
    cascade_input = cascade_input_of(outputs, model.plan.labels)
    if is_nnunet:  # whose users hand label files from stage to stage
        resampling = model.configuration.resampling
        classes = cascade_input_as_nnunet(
            cascade_input.classes, prepared.outside, target, resampling
        )
        cascade_input = replace(cascade_input, classes=classes)
    return replace(prepared, previous=None, cascade_input=cascade_input, outside=None)


def cascade_input_of(outputs: LabelArray, labels: LabelScheme) -> CascadeInput:
    """Return a prediction as the next stage of a cascade gets it.

    Regions are written as the classes that label files would hold.

    Args:
        outputs: Index of what was predicted, per voxel.
        labels: What the indices mean.
    """
    classes = labels.encode(labels.decode(outputs)) if labels.regions else outputs
    return CascadeInput(classes=classes, num_channels=labels.num_classes - 1)


def export_orders(restoration: InverseTransform, resampling: Resampling) -> tuple[int, ...]:
    """Return how logits go back along each axis: 1 linearly, 0 by the nearest plane.

    The coarse axis of anisotropic volumes is treated apart, as when images were prepared.

    Source: nnU-Net (Isensee et al. 2021).
    """
    coarse = separate_axis(
        restoration.prepared_spacing, restoration.spacing, resampling.anisotropy_threshold
    )
    return tuple(
        resampling.separate_axis_order if axis == coarse else resampling.label_order
        for axis in range(len(restoration.spacing))
    )
