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
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int, Integer, Shaped
from numpy.typing import NDArray

ImageArray = Float32[np.ndarray, "channels *space"]
IntensityArray = ImageArray | Integer[np.ndarray, "channels *space"]
LabelArray = Integer[np.ndarray, "*space"]
MaskArray = Bool[np.ndarray, "*space"]
VoxelList = Int[np.ndarray, "_voxels axes"]

PART_VOXELS = 2**20
"""Voxels converted at a time where a copy of the whole image would need too much memory."""


@runtime_checkable
class VoxelSource(Protocol):
    """Voxels that are loaded or computed where they are indexed; an array is one too."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, and the size along each axis in voxels."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the voxels."""

    def __getitem__(self, box: Any, /) -> Any:  # noqa: ANN401  (NumPy has many overloads)
        """Return the voxels of a box, which has one slice per axis, as an array."""


def looked_up(table: Shaped[np.ndarray, " entries"], indices: LabelArray) -> NDArray[Any]:
    """Return `table[indices]`, part by part: NumPy converts each index to 8 bytes."""
    result = np.empty(indices.shape, table.dtype)
    length = max(1, PART_VOXELS * len(indices) // max(1, indices.size))
    for start in range(0, len(indices), length):
        result[start : start + length] = table[indices[start : start + length]]
    return result


def count_not_finite(voxels: IntensityArray) -> int:
    """Count the intensities that are NaN or infinite; integers are not even read."""
    if voxels.dtype.kind != "f":
        return 0
    return voxels.size - sum(int(np.count_nonzero(np.isfinite(channel))) for channel in voxels)


def mask_of(labels: LabelArray, values: Sequence[int]) -> MaskArray:
    """Return the mask of voxels with one of some values; much faster than `np.isin`."""
    mask: MaskArray = labels == values[0]
    for value in values[1:]:
        mask |= labels == value
    return mask
