"""Array types and the alphabet of axis names; `core.tensors` has those of torch.

Axes, always in this order:
    batch     cases or patches processed together
    channels  image channels, e.g. T1, T2, FLAIR
    classes   one score per label, background first; with regions, one score per region
    *space    the 2 or 3 image axes, in array order (z, y, x); sizes in voxels

    *scored   those of a patch without the margin that some networks need around it

The same function serves 2-D and 3-D because `*space` stands for either.
"""

import numpy as np
from jaxtyping import Bool, Float32, Int, Integer

ImageArray = Float32[np.ndarray, "channels *space"]
LabelArray = Integer[np.ndarray, "*space"]
MaskArray = Bool[np.ndarray, "*space"]
VoxelList = Int[np.ndarray, "_voxels axes"]
