"""Resize an array along one axis: a small banded matrix that is computed once and then multiplied.

Resizing is linear and separable, so all that a spline of any order does to a volume is known from
what it does to single ones along each axis. scikit-image resizes those ones; the products are left
to the machine's matrix multiplication.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

SplineOrder: TypeAlias = Literal[0, 1, 3]
"""0 takes the nearest voxel, 1 interpolates linearly, 3 by cubic splines."""

Volume = Float32[np.ndarray, "*space"]
ResizedVolume = Float32[np.ndarray, "*resized"]

COMB_SPACING = 64
"""Voxels between the ones that are resized together. The influence of a voxel on a cubic spline
fades by a factor 0.27 per voxel (Unser, IEEE Signal Processing Magazine 1999), so at half of this
distance it is below double precision and the ones do not disturb each other."""

NEGLIGIBLE_WEIGHT = 1e-9
"""Weights below this are left out; single precision does not see them."""

BLOCK_ROWS = 32
"""Output positions per matrix block: long enough for fast products, short enough that a block
stays a fraction of a long axis, and that a slab of so many planes takes little memory."""


@dataclass(frozen=True)
class MatrixBlock:
    """Part of a banded matrix: how a run of output voxels comes from a run of input voxels.

    Attributes:
        outputs: Positions along the resized axis.
        inputs: Positions along the original axis.
        weights: One row per output, one column per input; float32, not writeable.
    """

    outputs: slice
    inputs: slice
    weights: NDArray[np.float32]


def resize_in_slabs(
    volume: Volume, shape: tuple[int, ...], order: SplineOrder
) -> Iterator[tuple[slice, ResizedVolume]]:
    """Yield the volume at another shape: runs of planes along the first axis, and their voxels.

    Of the whole at once only those axes are resized that shrink while the first one grows; all else
    is done to a few planes at a time, which stay in the processor's cache, and no second volume is
    made. A slab may be part of the volume itself.
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
    """Yield slabs of a volume with only the first axis resized."""
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
    """Return the volume with `size` voxels along one axis; as it is when it has them already.

    Voxel centres keep their relative place (half-pixel convention) and edges are repeated, as
    `skimage.transform.resize(mode="edge", anti_aliasing=False, clip=False)` has it.
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
        part, place = source[:, block.inputs], target[:, block.outputs]
        if after:
            np.matmul(block.weights, part, out=place)
        else:  # one large product instead of one per row
            np.matmul(part[..., 0], block.weights.T, out=place[..., 0])
    return result


@lru_cache(maxsize=128)
def nearest_positions(old_size: int, new_size: int) -> NDArray[np.intp]:
    """Return for each new voxel the old voxel that its centre falls into."""
    centres = (np.arange(new_size) + 0.5) * (old_size / new_size)
    positions: NDArray[np.intp] = np.minimum(np.floor(centres), old_size - 1).astype(np.intp)
    positions.setflags(write=False)
    return positions


@lru_cache(maxsize=128)
def matrix_blocks(old_size: int, new_size: int, order: SplineOrder) -> tuple[MatrixBlock, ...]:
    """Return the matrix that resizes an axis, as blocks that cover all its outputs in order."""
    inputs, weights = _banded_weights(old_size, new_size, order)
    starts = range(0, new_size, BLOCK_ROWS)
    return tuple(
        _block(slice(start, min(start + BLOCK_ROWS, new_size)), inputs, weights) for start in starts
    )


def _banded_weights(
    old_size: int, new_size: int, order: SplineOrder
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return, for each output, the inputs near its centre and their weights, which sum to 1.

    A comb of ones is resized, one comb per offset, instead of the whole identity matrix: the same
    numbers, at a cost that grows with the axis and not with its square.
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
    """Return the smallest dense matrix that holds all nonzero weights of these outputs."""
    positions, values = inputs[outputs], weights[outputs]
    used = positions[values != 0]
    first, last = int(used.min()), int(used.max())
    rows, columns = np.nonzero(values)
    dense = np.zeros((len(values), last + 1 - first), dtype=np.float32)
    dense[rows, positions[rows, columns] - first] = values[rows, columns]
    dense.setflags(write=False)
    return MatrixBlock(outputs=outputs, inputs=slice(first, last + 1), weights=dense)
