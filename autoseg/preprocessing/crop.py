"""Crop a case to the voxels that are nonzero in any channel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.core.arrays import ImageArray, MaskArray

Bounds = tuple[tuple[int, int], ...]
"""Per axis: first voxel, and one past the last."""


def nonzero_mask(voxels: ImageArray) -> MaskArray:
    """Return the voxels that are nonzero in any channel, holes filled.

    Source: Isensee et al., Nature Methods 18 (2021), Methods, "Cropping".
    """
    mask: MaskArray = np.any(voxels != 0, axis=0)
    if mask.all():
        return mask
    return np.asarray(ndimage.binary_fill_holes(mask))


def bounding_box(mask: MaskArray) -> Bounds:
    """Return the smallest box that holds every True voxel; the whole array if there is none."""
    if not mask.any():
        return tuple((0, size) for size in mask.shape)
    bounds = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask.any(axis=others))
        bounds.append((int(found[0]), int(found[-1]) + 1))
    return tuple(bounds)


def crop(array: NDArray[np.generic], bounds: Bounds) -> NDArray[np.generic]:
    """Return the box of the trailing axes: a view, so that writing to it puts a crop back."""
    index: tuple[Any, ...] = (..., *(slice(start, stop) for start, stop in bounds))
    box: NDArray[np.generic] = array[index]
    return box
