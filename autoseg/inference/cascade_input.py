"""Convert the prediction of a cascade's stage to the input of its next stage."""

import numpy as np

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.core.case import CascadeInput, InverseTransform
from autoseg.core.labels import LabelScheme
from autoseg.documents.preparation import Resampling
from autoseg.preprocessing.label_interpolation import ResizedLabels
from autoseg.preprocessing.prepare import prepare_labels


def to_cascade_input(outputs: LabelArray, labels: LabelScheme) -> CascadeInput:
    """Convert a prediction to the cascade input of the next stage.

    Regions are converted to the classes that a label file would contain.

    Args:
        outputs: Predicted index per voxel.
        labels: Label scheme of the indices.
    """
    classes = labels.encode(labels.decode(outputs)) if labels.regions else outputs
    return CascadeInput(classes=classes, num_channels=labels.num_classes - 1)


def cascade_input_as_nnunet(
    classes: LabelArray,
    outside: MaskArray | None,
    restoration: InverseTransform,
    resampling: Resampling,
) -> ResizedLabels:
    """Resample a cascade input to the grid of a prepared image, as nnU-Net resamples files.

    Background outside the nonzero mask is a separate class with the lowest index during
    resampling. Where both backgrounds meet a third class, that class only has to outweigh each of
    them, not their sum. Ties go to the class of the nearest voxel.

    Source: nnU-Net 2.8.1, `crop_to_nonzero`, and batchgenerators 0.25.5, `resize_segmentation`.

    Args:
        classes: Class indices predicted by the previous stage, for the whole canonical image.
        outside: Voxels outside the nonzero mask, same shape; None if there are none.
        restoration: Inverse transform of the image as prepared for the next stage.
        resampling: Spline orders.

    Returns:
        Class indices with the shape of the prepared image, in the type of `classes`.
    """
    if outside is None:
        return prepare_labels(classes, restoration, resampling, ties="nearest")
    has_room = int(classes.max()) < np.iinfo(np.uint8).max
    shifted = classes.astype(np.uint8 if has_room else np.uint16) + 1
    shifted[outside & (classes == 0)] = 0
    resized = prepare_labels(shifted, restoration, resampling, ties="nearest")
    return np.asarray(np.maximum(resized, 1) - 1).astype(classes.dtype)
