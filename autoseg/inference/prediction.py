"""From an image to its label map, with a loaded model."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from autoseg.core.arrays import LabelArray
from autoseg.core.case import Image, PreparedImage, Restoration
from autoseg.core.errors import CaseError
from autoseg.core.progress import Progress
from autoseg.documents.plan import Resampling
from autoseg.inference.export import class_map
from autoseg.inference.handover import ExportThread
from autoseg.inference.model import LoadedModel
from autoseg.inference.sliding_window import LogitsSlab, predict_slabs
from autoseg.inference.suitability import deviations
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
    return deviations(image, model.data, model.configuration.normalizers, names)


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
        job = PredictionJob(prepared, finish=lambda classes: classes, workers=workers)
        return start_prediction(job, model, exports, progress=progress).result()


@dataclass(frozen=True)
class PredictionJob(Generic[R]):
    """One image to predict.

    Attributes:
        prepared: The image.
        finish: What becomes of its class map; called in the export's thread.
        workers: Threads of the export.
    """

    prepared: PreparedImage
    finish: Callable[[LabelArray], R]
    workers: int = 1


def start_prediction(
    job: PredictionJob[R],
    model: LoadedModel,
    exports: ExportThread,
    *,
    progress: Progress | None = None,
) -> Future[R]:
    """Return what `job.finish` will return, once the networks are through with the image.

    The export goes on in its own thread, so the next image can start. An error of this image comes
    out of the future.
    """
    restoration = job.prepared.restoration
    orders = export_orders(restoration, model.configuration.resampling)

    def export(slabs: Iterator[LogitsSlab]) -> R:
        found = class_map(
            slabs,
            restoration,
            orders=orders,
            workers=job.workers,
            is_regional=bool(model.plan.labels.regions),
        )
        return job.finish(found)

    slabs = predict_slabs(
        model.ensemble,
        job.prepared,
        tiles_per_batch=model.configuration.batch_size,
        progress=progress,
    )
    return exports.feed(slabs, export)


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
    return prepare_image(image, model.plan, model.configuration)


def export_orders(restoration: Restoration, resampling: Resampling) -> tuple[int, ...]:
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
