"""What the later stage of an imported cascade gets to see of the earlier one's prediction."""

import numpy as np

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.core.case import InverseTransform
from autoseg.documents.preparation import Resampling
from autoseg.preprocessing.label_interpolation import ResizedLabels
from autoseg.preprocessing.prepare import prepare_labels


def cascade_input_as_nnunet(
    classes: LabelArray,
    outside: MaskArray | None,
    restoration: InverseTransform,
    resampling: Resampling,
) -> ResizedLabels:
    """Return class indices on the grid of a prepared image, resampled as nnU-Net resamples files.

    Background outside of what the image shows is a class of its own there, with the lowest index:
    where the two meet a third class, it needs to outweigh each of them only. Of classes that weigh
    alike, the nearest wins.

    Source: nnU-Net 2.8.1, `crop_to_nonzero`, and batchgenerators 0.25.5, `resize_segmentation`.

    Args:
        classes: What the earlier stage predicted for the whole canonical image.
        outside: Voxels of it that are not part of what it shows; None if all are.
        restoration: Of the image as the later stage sees it.
        resampling: Spline orders.
    """
    if outside is None:
        return prepare_labels(classes, restoration, resampling, ties="nearest")
    has_room = int(classes.max()) < np.iinfo(np.uint8).max
    shifted = classes.astype(np.uint8 if has_room else np.uint16) + 1
    shifted[outside & (classes == 0)] = 0
    resized = prepare_labels(shifted, restoration, resampling, ties="nearest")
    return np.asarray(np.maximum(resized, 1) - 1).astype(classes.dtype)
