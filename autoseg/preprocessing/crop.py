"""Crop a case to the voxels that are nonzero in any channel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import ImageArray, LabelArray, MaskArray

Bounds = tuple[tuple[int, int], ...]
"""Per axis: first voxel, and one past the last."""


def nonzero_mask(voxels: ImageArray) -> MaskArray:
    """Return the voxels that are nonzero in any channel, holes filled.

    Source: Isensee et al., Nature Methods 18 (2021), Methods, "Cropping".
    """
    return without_holes(nonzero_voxels(voxels))


def nonzero_voxels(voxels: ImageArray) -> MaskArray:
    """Return the voxels that are nonzero in any channel; their bounding box is the mask's."""
    mask: MaskArray = voxels[0] != 0
    for channel in voxels[1:]:
        mask |= channel != 0
    return mask


def without_holes(mask: MaskArray) -> MaskArray:
    """Return the mask with its holes filled; of a mask cropped to its bounding box likewise."""
    if mask.all():
        return mask
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(mask))


def bounding_box(array: MaskArray | LabelArray) -> Bounds:
    """Return the smallest box that holds all True or nonzero voxels; the whole array without any.

    Of a mask or of unsigned numbers.
    """
    bounds = []
    # the first axis is gone over once, and all others on its projection
    shadow = array.max(axis=0)
    for axis in range(array.ndim):
        looked_at = shadow if axis else array.reshape(len(array), -1)
        kept = max(axis - 1, 0)
        others = tuple(other for other in range(looked_at.ndim) if other != kept)
        found = np.flatnonzero(looked_at.max(axis=others, initial=0))
        if not found.size:
            return tuple((0, size) for size in array.shape)
        bounds.append((int(found[0]), int(found[-1]) + 1))
    return tuple(bounds)


def crop(array: NDArray[np.generic], bounds: Bounds) -> NDArray[np.generic]:
    """Return the box of the trailing axes: a view, so that writing to it puts a crop back."""
    index: tuple[Any, ...] = (..., *(slice(start, stop) for start, stop in bounds))
    box: NDArray[np.generic] = array[index]
    return box
