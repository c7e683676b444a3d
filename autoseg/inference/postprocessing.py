"""Remove small connected components of a predicted label map, as chosen by `autoseg select`."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from autoseg.core.arrays import LabelArray, mask_of
from autoseg.documents.selection import LargestComponent
from autoseg.preprocessing.crop import bounding_box, crop


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
    foreground = mask_of(values, step.values)
    if not foreground.any():
        return values
    bounds = bounding_box(foreground)
    corners = np.ones((3,) * values.ndim, dtype=bool)
    components, count = ndimage.label(crop(foreground, bounds), structure=corners)
    if count < 2:
        return values
    sizes = _sizes(components, int(count))
    is_smaller = sizes < sizes[1:].max()
    is_smaller[0] = False  # background
    if not is_smaller.any():
        return values
    removed = is_smaller[components]
    del components  # 4 bytes per voxel, not needed while the label map is copied
    result = values.copy()
    crop(result, bounds)[removed] = background
    return result


def _sizes(components: NDArray[np.integer], count: int) -> NDArray[np.int64]:
    """Count the voxels of each component, plane by plane: bincount copies its input to int64."""
    sizes = np.zeros(count + 1, dtype=np.int64)
    for plane in components:
        sizes += np.bincount(plane.ravel(), minlength=count + 1)
    return sizes
