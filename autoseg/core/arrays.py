"""Array types and the names of axes; `core.tensors` has the tensor types.

Axes, always in this order:
    batch     cases or patches that are processed together
    channels  image channels, e.g. T1, T2, FLAIR
    classes   one score per label, background first; with regions, one score per region
    *space    the 2 or 3 image axes, in array order (z, y, x); sizes in voxels

    *scored   image axes of a patch without the margin that some networks need around it

Functions work in 2-D and 3-D because `*space` matches both.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32, Int, Integer

ImageArray = Float32[np.ndarray, "channels *space"]
LabelArray = Integer[np.ndarray, "*space"]
MaskArray = Bool[np.ndarray, "*space"]
VoxelList = Int[np.ndarray, "_voxels axes"]


def mask_of(labels: LabelArray, values: Sequence[int]) -> MaskArray:
    """Return the mask of voxels with one of some values; much faster than `np.isin`."""
    mask: MaskArray = labels == values[0]
    for value in values[1:]:
        mask |= labels == value
    return mask
