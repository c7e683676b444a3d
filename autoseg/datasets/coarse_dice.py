"""Measure the Dice of a label map after resampling: an upper bound at coarser spacings."""

from math import prod

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.geometry import coarsen_spacing
from autoseg.documents.fingerprint import COARSENING_FACTORS
from autoseg.preprocessing.crop import bounding_box, crop
from autoseg.preprocessing.label_interpolation import resize_labels
from autoseg.preprocessing.resample import resampled_shape

Labels = NDArray[np.integer]

MAX_VOXELS = 2**19
"""Only a block of this many voxels around the centre of the foreground is measured in larger label
maps: Dice is lost at surfaces, and a block of 80³ voxels contains enough of them."""

MARGIN = 8
"""Margin of background around the foreground, in voxels, so that coarse voxels can extend over its
border."""


def coarse_dice(
    classes: LabelArray, spacing: tuple[float, ...], num_classes: int
) -> tuple[float, ...] | None:
    """Compute the mean Dice of the classes after resampling to coarser voxels and back.

    Labels are resampled as for training (linearly per class).

    Args:
        classes: Class indices; indices of `num_classes` or more count as background.
        spacing: Voxel size, mm.
        num_classes: Number of classes, including background.

    Returns:
        A value from 0 to 1 for each of `COARSENING_FACTORS`; None without foreground.
    """
    if classes.max(initial=0) >= num_classes:
        classes = np.where(classes < num_classes, classes, 0).astype(classes.dtype)
    block = _block(classes)
    voxels = _counts(block, num_classes)
    if not voxels[1:].any():
        return None
    scores = []
    for factor in COARSENING_FACTORS:
        shape = resampled_shape(block.shape, spacing, coarsen_spacing(spacing, factor))
        restored = resize_labels(resize_labels(block, shape), block.shape)
        common = _counts(block[block == restored], num_classes)
        sizes = voxels + _counts(restored, num_classes)
        dice = 2 * common[1:] / np.maximum(sizes[1:], 1)
        scores.append(round(float(dice[voxels[1:] > 0].mean()), 4))
    return tuple(scores)


def _counts(classes: Labels, num_classes: int) -> Float[np.ndarray, " classes"]:
    return np.bincount(classes.ravel(), minlength=num_classes).astype(np.float64)


def _block(classes: Labels) -> Labels:
    """Crop to the foreground's bounding box with a margin, limited to about `MAX_VOXELS`."""
    bounds = bounding_box(classes)
    voxels = max(1, prod(stop - start for start, stop in bounds))
    share = min(1.0, MAX_VOXELS / voxels) ** (1 / classes.ndim)
    limits = []
    for (start, stop), size in zip(bounds, classes.shape, strict=True):
        edge = max(1, round(share * (stop - start)))
        first = start + (stop - start - edge) // 2
        limits.append((max(0, first - MARGIN), min(size, first + edge + MARGIN)))
    return np.ascontiguousarray(crop(classes, tuple(limits)))
