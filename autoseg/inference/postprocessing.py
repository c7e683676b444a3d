"""Remove small detached parts of a predicted label map, as `autoseg select` found it to help."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.documents.selection import LargestComponent


def postprocessed(
    values: LabelArray, steps: Iterable[LargestComponent], background: int
) -> LabelArray:
    """Return a label map after some steps, in order; without any, the map itself.

    Args:
        values: Label values, as label files have them.
        steps: What to do.
        background: Label value of what is removed.
    """
    for step in steps:
        values = keep_largest(values, step, background)
    return values


def keep_largest(values: LabelArray, step: LargestComponent, background: int) -> LabelArray:
    """Return a label map in which the union of `step.values` is only its largest component.

    Voxels that touch in a corner belong together. Of several components of the largest size all
    are kept: nothing tells which is right. `values` stays as it is.

    Source: nnU-Net (Isensee et al. 2021), whose components have the full connectivity that is
        scikit-image's default, and which keeps all of the largest size.

    Args:
        values: Label values, as label files have them.
        step: Which values are one thing.
        background: Label value of what is removed.
    """
    chosen = _is_one_of(values, step.values)
    box = _bounding_box(chosen)
    if box is None:
        return values
    smaller = _smaller_components(chosen[box])
    if not smaller.any():
        return values
    kept = values.copy()
    kept[box][smaller] = background
    return kept


def _is_one_of(values: LabelArray, wanted: tuple[int, ...]) -> MaskArray:
    """Return where a label map has one of some values: one byte per voxel and no more."""
    mask = values == wanted[0]
    for value in wanted[1:]:
        mask |= values == value
    return np.asarray(mask)


def _bounding_box(mask: MaskArray) -> tuple[slice, ...] | None:
    """Return the smallest box that holds a mask; None if that is empty."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        (inside,) = np.nonzero(mask.any(axis=others))
        if not inside.size:
            return None
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return tuple(box)


def _smaller_components(mask: MaskArray) -> MaskArray:
    """Return where the components of a mask are that have not the largest size."""
    components, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim, dtype=bool))
    if count < 2:
        return np.zeros_like(mask)
    sizes = _sizes(components, int(count))
    is_smaller = sizes < sizes[1:].max()
    is_smaller[0] = False  # what is no component
    return np.asarray(is_smaller[components])


def _sizes(components: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Return the voxels of each component, plane by plane: bincount widens what it counts."""
    sizes = np.zeros(count + 1, dtype=np.int64)
    for plane in components:
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    return sizes
