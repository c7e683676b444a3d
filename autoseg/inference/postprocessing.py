"""Remove small connected components of a predicted label map, as chosen by `autoseg select`."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.documents.selection import LargestComponent


def postprocess(
    values: LabelArray, steps: Iterable[LargestComponent], background: int
) -> LabelArray:
    """Apply post-processing steps to a label map; return the map itself if there are no steps.

    Args:
        values: Label values as in label files.
        steps: Steps to apply, in order.
        background: Label value that replaces removed voxels.
    """
    for step in steps:
        values = keep_largest(values, step, background)
    return values


def keep_largest(values: LabelArray, step: LargestComponent, background: int) -> LabelArray:
    """Keep only the largest connected component of the union of `step.values`.

    Components use full connectivity: voxels that share a corner are connected. If several
    components have the largest size, all of them are kept. `values` is not modified.

    Source: nnU-Net (Isensee et al. 2021), which uses full connectivity (scikit-image's default) and
        keeps all components of the largest size.

    Args:
        values: Label values as in label files.
        step: Label values whose union forms one structure.
        background: Label value that replaces removed voxels.
    """
    foreground = _is_one_of(values, step.values)
    box = _bounding_box(foreground)
    if box is None:
        return values
    smaller = _smaller_components(foreground[box])
    if not smaller.any():
        return values
    result = values.copy()
    result[box][smaller] = background
    return result


def _is_one_of(values: LabelArray, wanted: tuple[int, ...]) -> MaskArray:
    """Return the mask of voxels with one of the wanted values; needs only one byte per voxel."""
    mask = values == wanted[0]
    for value in wanted[1:]:
        mask |= values == value
    return np.asarray(mask)


def _bounding_box(mask: MaskArray) -> tuple[slice, ...] | None:
    """Return the bounding box of a mask; None if the mask is empty."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        (inside,) = np.nonzero(mask.any(axis=others))
        if not inside.size:
            return None
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)


def _smaller_components(mask: MaskArray) -> MaskArray:
    """Return the mask of all components that are smaller than the largest one."""
    components, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim, dtype=bool))
    if count < 2:
        return np.zeros_like(mask)
    sizes = _sizes(components, int(count))
    is_smaller = sizes < sizes[1:].max()
    is_smaller[0] = False  # background
    return np.asarray(is_smaller[components])


def _sizes(components: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Count the voxels of each component, plane by plane: bincount copies its input to int64."""
    sizes = np.zeros(count + 1, dtype=np.int64)
    for plane in components:
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    return sizes
