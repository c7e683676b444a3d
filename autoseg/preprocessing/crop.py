"""Crop a case to the voxels that are nonzero in any channel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import IntensityArray, LabelArray, MaskArray

Bounds = tuple[tuple[int, int], ...]
"""First voxel and one past the last, per axis."""


def nonzero_voxels(voxels: IntensityArray) -> MaskArray:
    """Return the mask of voxels that are nonzero in any channel, without filling holes.

    Filling them with `fill_holes` does not change the bounding box.

    Source: Isensee et al., Nature Methods 18 (2021), Methods, "Cropping".
    """
    mask: MaskArray = voxels[0] != 0
    for channel in voxels[1:]:
        mask |= channel != 0
    return mask


def fill_holes(mask: MaskArray) -> MaskArray:
    """Fill the holes of a mask. Cropping to the bounding box before does not change the result."""
    if mask.all():
        return mask
    from scipy import ndimage

    return np.asarray(ndimage.binary_fill_holes(mask))


def bounding_box(array: MaskArray | LabelArray) -> Bounds:
    """Return the bounding box of the True or nonzero voxels.

    Args:
        array: A mask or unsigned integers.

    Returns:
        The bounds per axis; the whole array if no voxel is nonzero.
    """
    bounds = []
    # reduce the full array only along the first axis; the other axes need only its projection
    projection = array.max(axis=0)
    for axis in range(array.ndim):
        source = projection if axis else array.reshape(len(array), -1)
        kept = max(axis - 1, 0)
        others = tuple(other for other in range(source.ndim) if other != kept)
        positions = np.flatnonzero(source.max(axis=others, initial=0))
        if not positions.size:
            return tuple((0, size) for size in array.shape)
        bounds.append((int(positions[0]), int(positions[-1]) + 1))
    return tuple(bounds)


def crop(array: NDArray[np.generic], bounds: Bounds) -> NDArray[np.generic]:
    """Return a view of the box along the trailing axes; writing to it changes the array."""
    index: tuple[Any, ...] = (..., *(slice(start, stop) for start, stop in bounds))
    box: NDArray[np.generic] = array[index]
    return box
