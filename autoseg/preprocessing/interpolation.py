"""Resize volumes axis by axis.

Spline interpolation is linear and separable, so resizing unit impulses along each axis gives its
matrix, which is computed once. scikit-image resizes the impulses; the volume is then resized by
multiplication with small blocks of the matrix. Label maps and logits are sampled instead: an
`AxisSampling` holds the two neighbours of each new voxel, for values that are never all in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32, Int
from numpy.typing import NDArray

SplineOrder: TypeAlias = Literal[0, 1, 3]
"""0 is nearest neighbour, 1 linear, 3 cubic."""

Volume = Float32[np.ndarray, "*space"]
ResizedVolume = Float32[np.ndarray, "*resized"]

COMB_SPACING = 64
"""Voxels between impulses that are resized together. The influence of a voxel on a cubic spline
decays by a factor of 0.27 per voxel (Unser, IEEE Signal Processing Magazine 1999), so at half this
distance it is below double precision and the impulses do not interfere."""

NEGLIGIBLE_WEIGHT = 1e-9
"""Weights below this are set to 0; they have no effect in single precision."""

BLOCK_ROWS = 32
"""Output positions per matrix block: large enough for fast products, but a small part of a long
axis, and few enough planes that a slab takes little memory."""


@dataclass(frozen=True)
class AxisSampling:
    """Indices and weights of the two old voxels next to each new voxel along an axis.

    Attributes:
        lower: Index of the old voxel at or before the new centre, ascending.
        upper: Index of the old voxel after the new centre; equals `lower` if its weight is 0.
        lower_weight: Weight of the lower voxel; the two weights sum to one.
        upper_weight: Weight of the upper voxel, in [0, 1).
        is_identity: Whether old and new axis are the same.
        is_nearest: Whether each new voxel is a copy of one old voxel.
    """

    lower: Int[np.ndarray, " size"]
    upper: Int[np.ndarray, " size"]
    lower_weight: Float32[np.ndarray, " size"]
    upper_weight: Float32[np.ndarray, " size"]
    is_identity: bool
    is_nearest: bool

    @property
    def size(self) -> int:
        """Number of new voxels."""
        return int(self.lower.size)

    def select(self, voxels: slice, offset: int = 0) -> "AxisSampling":
        """Return the sampling of some new voxels, with indices relative to `offset`."""
        return replace(
            self,
            lower=self.lower[voxels] - offset,
            upper=self.upper[voxels] - offset,
            lower_weight=self.lower_weight[voxels],
            upper_weight=self.upper_weight[voxels],
        )

    def piece(self, start: int, stop: int) -> tuple["AxisSampling", int, int]:
        """Return the sampling of a range of new voxels, and the range of old voxels it needs.

        The indices of the returned sampling are relative to the start of the old range.

        Returns:
            The sampling, the first old voxel, and one past the last old voxel.
        """
        first, last = int(self.lower[start]), int(self.upper[stop - 1]) + 1
        return self.select(slice(start, stop), first), first, last

    def reached_by(self, start: int, stop: int) -> slice:
        """Return the new voxels with a neighbour among the old voxels from `start` to `stop`."""
        first = np.searchsorted(self.upper, start, side="left")
        last = np.searchsorted(self.lower, stop, side="left")
        return slice(int(first), int(last))


def axis_sampling(old_size: int, new_size: int, *, order: int) -> AxisSampling:
    """Build the sampling of an axis.

    Both axes span the same length. Values are located at voxel centres, and positions beyond the
    outermost centres take the value of the outermost voxel.

    Args:
        old_size: Number of old voxels.
        new_size: Number of new voxels.
        order: 0 for nearest-neighbour, 1 for linear interpolation.

    Source: the coordinates of `skimage.transform.resize` (mode "edge") and of
        `scipy.ndimage.zoom` (`grid_mode=True`).
    """
    centres = (np.arange(new_size) + 0.5) * (old_size / new_size) - 0.5
    centres = np.clip(centres, 0, old_size - 1)
    lower, fraction = np.floor(centres).astype(np.intp), np.zeros(new_size)
    if order == 0:
        lower = nearest_positions(old_size, new_size)
    else:
        fraction = centres - lower
    return AxisSampling(
        lower=lower,
        upper=np.minimum(lower + (fraction > 0), old_size - 1),
        lower_weight=(1 - fraction).astype(np.float32),
        upper_weight=fraction.astype(np.float32),
        is_identity=old_size == new_size,
        is_nearest=order == 0,
    )


@dataclass(frozen=True)
class MatrixBlock:
    """Dense block of a banded matrix that maps a range of input to a range of output voxels.

    Attributes:
        outputs: Positions along the resized axis.
        inputs: Positions along the original axis.
        weights: One row per output, one column per input; float32, read-only.
    """

    outputs: slice
    inputs: slice
    weights: NDArray[np.float32]


def resize_in_slabs(
    volume: Volume, shape: tuple[int, ...], order: SplineOrder
) -> Iterator[tuple[slice, ResizedVolume]]:
    """Resize a volume and yield the result in slabs along the first axis.

    Slabs stay in the processor's cache, and no full second volume is allocated. Only if the first
    axis grows, shrinking axes are resized first, for the whole volume at once.

    Args:
        volume: The volume to resize.
        shape: Output shape, voxels.
        order: Spline order.

    Yields:
        The range of planes along the first axis, and their voxels. The voxels may be a view of
        `volume`.
    """
    if shape[0] > volume.shape[0]:
        for axis in range(1, volume.ndim):
            if shape[axis] < volume.shape[axis]:
                volume = resize_axis(volume, axis, shape[axis], order)
    inner = sorted(range(1, volume.ndim), key=lambda axis: shape[axis] / volume.shape[axis])
    for outputs, slab in _slabs_of_first_axis(volume, shape[0], order):
        resized = slab
        for axis in inner:
            resized = resize_axis(resized, axis, shape[axis], order)
        yield outputs, resized


def _slabs_of_first_axis(
    volume: Volume, size: int, order: SplineOrder
) -> Iterator[tuple[slice, ResizedVolume]]:
    """Resize only the first axis of a volume, and yield the result in slabs."""
    if volume.shape[0] == size:
        for start in range(0, size, BLOCK_ROWS):
            outputs = slice(start, min(start + BLOCK_ROWS, size))
            yield outputs, volume[outputs]
    elif order == 0:
        positions = nearest_positions(volume.shape[0], size)
        for start in range(0, size, BLOCK_ROWS):
            outputs = slice(start, min(start + BLOCK_ROWS, size))
            yield outputs, volume[positions[outputs]]
    else:
        rows = volume.reshape(len(volume), -1)
        for block in matrix_blocks(len(volume), size, order):
            slab = block.weights @ rows[block.inputs]
            yield block.outputs, slab.reshape(-1, *volume.shape[1:])


def resize_axis(volume: Volume, axis: int, size: int, order: SplineOrder) -> ResizedVolume:
    """Resize a volume along one axis.

    Same result as `skimage.transform.resize(mode="edge", anti_aliasing=False, clip=False)`: voxel
    centres follow the half-pixel convention, and edges are repeated.

    Args:
        volume: The volume to resize.
        axis: The axis to resize.
        size: Output size along the axis, voxels.
        order: Spline order.

    Returns:
        The resized volume; `volume` itself if it already has this size.
    """
    if volume.shape[axis] == size:
        return volume
    if order == 0:
        return np.take(volume, nearest_positions(volume.shape[axis], size), axis=axis)
    before, after = volume.shape[:axis], volume.shape[axis + 1 :]
    result = np.empty((*before, size, *after), dtype=np.float32)
    columns = (int(np.prod(before)), -1, int(np.prod(after)))
    source, target = volume.reshape(columns), result.reshape(columns)
    for block in matrix_blocks(volume.shape[axis], size, order):
        inputs, outputs = source[:, block.inputs], target[:, block.outputs]
        if after:
            np.matmul(block.weights, inputs, out=outputs)
        else:  # one large product instead of one per row
            np.matmul(inputs[..., 0], block.weights.T, out=outputs[..., 0])
    return result


@lru_cache(maxsize=128)
def nearest_positions(old_size: int, new_size: int) -> NDArray[np.intp]:
    """Return the index of the nearest old voxel for each new voxel."""
    centres = (np.arange(new_size) + 0.5) * (old_size / new_size)
    positions: NDArray[np.intp] = np.minimum(np.floor(centres), old_size - 1).astype(np.intp)
    positions.setflags(write=False)
    return positions


@lru_cache(maxsize=128)
def matrix_blocks(old_size: int, new_size: int, order: SplineOrder) -> tuple[MatrixBlock, ...]:
    """Return the matrix that resizes an axis, as blocks that cover all outputs in order.

    Args:
        old_size: Input size, voxels.
        new_size: Output size, voxels.
        order: Spline order.
    """
    inputs, weights = _banded_weights(old_size, new_size, order)
    starts = range(0, new_size, BLOCK_ROWS)
    return tuple(
        _block(slice(start, min(start + BLOCK_ROWS, new_size)), inputs, weights) for start in starts
    )


def _banded_weights(
    old_size: int, new_size: int, order: SplineOrder
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the inputs near the centre of each output, and their weights, which sum to 1.

    Combs of impulses are resized, one per offset, instead of the identity matrix. The result is the
    same, but the cost is linear instead of quadratic in the size of the axis.
    """
    from skimage.transform import resize

    width = min(COMB_SPACING, old_size)
    combs = np.arange(old_size)[:, None] % width == np.arange(width)
    resized = resize(
        combs.astype(np.float64),
        (new_size, width),
        order=order,
        mode="edge",
        anti_aliasing=False,
        clip=False,
    )
    first = np.clip(nearest_positions(old_size, new_size) - width // 2, 0, old_size - width)
    inputs = first[:, None] + np.arange(width)
    weights = np.take_along_axis(resized, inputs % width, axis=1)
    weights[np.abs(weights) < NEGLIGIBLE_WEIGHT] = 0
    return inputs, weights / weights.sum(axis=1, keepdims=True)


def _block(outputs: slice, inputs: NDArray[np.intp], weights: NDArray[np.float64]) -> MatrixBlock:
    """Return the smallest dense block with all nonzero weights of these outputs."""
    positions, values = inputs[outputs], weights[outputs]
    used = positions[values != 0]
    first, last = int(used.min()), int(used.max())
    rows, columns = np.nonzero(values)
    dense = np.zeros((len(values), last + 1 - first), dtype=np.float32)
    dense[rows, positions[rows, columns] - first] = values[rows, columns]
    dense.setflags(write=False)
    return MatrixBlock(outputs=outputs, inputs=slice(first, last + 1), weights=dense)
