"""Measure how well coarser voxels can represent a label map: a bound on what is reached there."""

from math import prod

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.geometry import coarsened
from autoseg.documents.fingerprint import COARSENING_FACTORS
from autoseg.preprocessing.crop import bounding_box, crop
from autoseg.preprocessing.label_interpolation import resize_labels
from autoseg.preprocessing.resample import resampled_shape

Labels = NDArray[np.integer]

MOST_VOXELS = 2**19
"""Larger label maps are measured in a block of this many voxels around their foreground's centre:
the loss is one of surfaces, of which a block of 80³ voxels has enough."""

MARGIN = 8
"""Voxels of background kept around the foreground, so that coarse voxels reach over its border."""


def coarse_dice(
    classes: LabelArray, spacing: tuple[float, ...], num_classes: int
) -> tuple[float, ...] | None:
    """Return the mean Dice of the classes after resampling to coarser voxels and back.

    One value, from 0 to 1, for each of `COARSENING_FACTORS`; None without foreground. Labels are
    resampled as for training (linearly per class).

    Args:
        classes: Class indices; any from `num_classes` on count as background.
        spacing: Voxel size, mm.
        num_classes: Classes, background included.
    """
    block = _block(np.where(classes < num_classes, classes, 0).astype(classes.dtype))
    voxels = _counts(block, num_classes)
    if not voxels[1:].any():
        return None
    found = []
    for factor in COARSENING_FACTORS:
        shape = resampled_shape(block.shape, spacing, coarsened(spacing, factor))
        restored = resize_labels(resize_labels(block, shape), block.shape)
        common = _counts(block[block == restored], num_classes)
        sizes = voxels + _counts(restored, num_classes)
        dice = 2 * common[1:] / np.maximum(sizes[1:], 1)
        found.append(round(float(dice[voxels[1:] > 0].mean()), 4))
    return tuple(found)


def _counts(classes: Labels, num_classes: int) -> Float[np.ndarray, " classes"]:
    return np.bincount(classes.ravel(), minlength=num_classes).astype(np.float64)


def _block(classes: Labels) -> Labels:
    """Return the foreground's bounding box with a margin, or as much of it as is measured."""
    bounds = bounding_box(classes)
    voxels = max(1, prod(stop - start for start, stop in bounds))
    share = min(1.0, MOST_VOXELS / voxels) ** (1 / classes.ndim)
    limits = []
    for (start, stop), size in zip(bounds, classes.shape, strict=True):
        edge = max(1, round(share * (stop - start)))
        first = start + (stop - start - edge) // 2
        limits.append((max(0, first - MARGIN), min(size, first + edge + MARGIN)))
    return np.ascontiguousarray(crop(classes, tuple(limits)))
