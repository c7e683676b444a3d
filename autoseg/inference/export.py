"""Turn a stream of logits slabs into the class of every voxel of the original image.

The logits of all classes at full resolution never exist. The output is worked through in small
blocks; for each block one class after the other is interpolated and compared with the best so far,
or one region after the other is written over those before it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.case import Restoration
from autoseg.inference.interpolation import AxisSampling, axis_sampling
from autoseg.inference.sliding_window import LogitsSlab
from autoseg.preprocessing.crop import crop

BLOCK_PLANES = 8
"""Planes of an output block; neighbouring blocks share their border planes' interpolation."""

BLOCK_VOXELS = 200_000
"""Voxels of an output block: a few float32 arrays of this size stay in a core's cache."""

ROUNDING_MARGIN = 1e-5
"""Linear interpolation in float32 can exceed the largest value by this fraction of the largest
absolute value; it rounds ten times, by at most 6e-8 each."""

Pieces: TypeAlias = tuple[AxisSampling, AxisSampling, AxisSampling]
"""How planes, rows and columns of a block are made."""

Interpolate: TypeAlias = Callable[[NDArray[np.float32], Pieces], NDArray[np.float32]]
"""Resamples the planes, rows and columns of one class."""


class Block(NamedTuple):
    """A box of output planes and rows, all columns: first and one past the last."""

    planes: tuple[int, int]
    rows: tuple[int, int]


def class_map(
    slabs: Iterable[LogitsSlab],
    restoration: Restoration,
    *,
    orders: Sequence[int],
    workers: int,
    is_regional: bool = False,
    in_half_precision: bool = False,
) -> LabelArray:
    """Return the index of what every voxel of the original image is, canonical axis order.

    The class is the one with the highest interpolated logit, of equals the lowest index. With
    regions, the index is one more than the last region whose interpolated logit is above 0 (a
    probability above 1/2), or 0. Voxels outside the nonzero crop are 0. The result is, bit for bit,
    that of resampling the whole array first.

    Args:
        slabs: The logits on the prepared grid, from the first plane to the last.
        restoration: The way back to the original grid.
        orders: Per prepared axis, 0 to take the nearest voxel or 1 to interpolate linearly.
        workers: Threads.
        is_regional: Whether each logit is that of a region, which may overlap.
        in_half_precision: Whether interpolated logits are rounded to half precision before they
            are compared, as nnU-Net does: classes that are equal then are not rare.

    Returns:
        uint8, or uint16 for more than 256 indices; `LabelScheme.decode` makes label values of them.

    Raises:
        ValueError: If the slabs do not cover the prepared image.
    """
    exporter = _Exporter(
        way_back(restoration, orders),
        restoration,
        is_regional=is_regional,
        in_half_precision=in_half_precision,
    )
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for slab in slabs:
            list(pool.map(exporter.fill, exporter.take(slab)))
    return exporter.finished()


def way_back(
    restoration: Restoration, orders: Sequence[int]
) -> tuple[AxisSampling, AxisSampling, AxisSampling]:
    """Return how planes, rows and columns of the crop are made of those of the prepared grid.

    Args:
        restoration: The way back to the original grid.
        orders: Per prepared axis, 0 to take the nearest voxel or 1 to interpolate linearly.
    """
    samplings = [
        axis_sampling(source, target, order=order)
        for source, target, order in zip(
            restoration.prepared_shape, restoration.cropped_shape, orders, strict=True
        )
    ]
    planes, rows, columns = [axis_sampling(1, 1, order=0)] * (3 - len(samplings)) + samplings
    return planes, rows, columns


class _Exporter:
    """Holds the planes that are still needed, and the output."""

    def __init__(
        self,
        samplings: tuple[AxisSampling, AxisSampling, AxisSampling],
        restoration: Restoration,
        *,
        is_regional: bool,
        in_half_precision: bool,
    ) -> None:
        self._samplings = samplings
        self._restoration = restoration
        self._is_regional = is_regional
        self._interpolate = _interpolated_as_nnunet if in_half_precision else interpolated
        self._slabs: list[LogitsSlab] = []
        self._next_plane = 0
        self._whole = np.zeros(restoration.full_shape, dtype=np.uint8)
        self._cropped = cropped_view(self._whole, restoration)

    def take(self, slab: LogitsSlab) -> list[Block]:
        """Keep a slab, let go of those no longer needed, and return the blocks it completes."""
        if not self._slabs and slab.logits.shape[0] + int(self._is_regional) > 256:
            self._whole = self._whole.astype(np.uint16)
            self._cropped = cropped_view(self._whole, self._restoration)
        planes = self._samplings[0]
        if self._next_plane < planes.lower.size:
            needed = int(planes.lower[self._next_plane])
            self._slabs = [kept for kept in self._slabs if kept.stop > needed]
        self._slabs.append(slab)
        first = self._next_plane
        self._next_plane = int(np.searchsorted(planes.upper, slab.stop))
        return list(self._blocks(first, self._next_plane))

    def _blocks(self, first: int, stop: int) -> Iterator[Block]:
        num_rows, num_columns = (sampling.lower.size for sampling in self._samplings[1:])
        height = max(1, BLOCK_VOXELS // (BLOCK_PLANES * num_columns))
        plane_starts, row_starts = range(first, stop, BLOCK_PLANES), range(0, num_rows, height)
        for plane, row in product(plane_starts, row_starts):
            yield Block(
                planes=(plane, min(plane + BLOCK_PLANES, stop)),
                rows=(row, min(row + height, num_rows)),
            )

    def fill(self, block: Block) -> None:
        """Write the classes of one block into the output."""
        planes, first_plane, stop_plane = self._samplings[0].piece(*block.planes)
        rows, first_row, stop_row = self._samplings[1].piece(*block.rows)
        pieces = (planes, rows, self._samplings[2])
        source = self._source((first_plane, stop_plane), (first_row, stop_row))
        indices = _last_regions if self._is_regional else _classes
        found = indices(source, pieces, self._interpolate, self._whole.dtype)
        self._cropped[slice(*block.planes), slice(*block.rows)] = found

    def _source(self, planes: tuple[int, int], rows: tuple[int, int]) -> list[NDArray[np.float32]]:
        """Return the logits that a block is made of, as the parts that the slabs hold."""
        parts = []
        for slab in self._slabs:
            start, stop = max(planes[0], slab.start), min(planes[1], slab.stop)
            if start < stop:
                inside = slice(start - slab.start, stop - slab.start)
                parts.append(slab.logits[:, inside, slice(*rows)])
        return parts

    def finished(self) -> LabelArray:
        """Return the output."""
        expected = self._samplings[0].lower.size
        if self._next_plane != expected:
            msg = f"the logits end at plane {self._next_plane} of {expected}."
            raise ValueError(msg)
        return self._whole


def _classes(
    source: list[NDArray[np.float32]],
    pieces: Pieces,
    interpolate: Interpolate,
    dtype: np.dtype[np.generic],
) -> NDArray[np.generic]:
    """Return the classes of one block, class by class, in ascending order.

    A class whose highest logit in the block is below the lowest of the winners so far cannot win
    anywhere and is not interpolated; most classes of a whole-body model are far from most blocks.
    """
    best = interpolate(_one_class(source, 0), pieces).copy()
    classes = np.zeros(best.shape, dtype=dtype)
    lowest = float(best.min())
    for index in range(1, source[0].shape[0]):
        coarse = _one_class(source, index)
        if _upper_bound(coarse) < lowest:
            continue
        values = interpolate(coarse, pieces)
        wins = values > best
        if wins.any():
            np.copyto(best, values, where=wins)
            classes[wins] = index
            lowest = float(best.min())
    return classes


def _last_regions(
    source: list[NDArray[np.float32]],
    pieces: Pieces,
    interpolate: Interpolate,
    dtype: np.dtype[np.generic],
) -> NDArray[np.generic]:
    """Return one more than the last region that each voxel of a block is in, 0 for none.

    A region that is nowhere in the block is not interpolated.
    """
    shape = tuple(piece.lower.size for piece in pieces)
    indices = np.zeros(shape, dtype=dtype)
    for index in range(source[0].shape[0]):
        coarse = _one_class(source, index)
        if _upper_bound(coarse) > 0:
            indices[interpolate(coarse, pieces) > 0] = index + 1
    return indices


def _one_class(source: list[NDArray[np.float32]], index: int) -> NDArray[np.float32]:
    return source[0][index] if len(source) == 1 else np.concatenate([s[index] for s in source])


def interpolated(values: NDArray[np.float32], pieces: Pieces) -> NDArray[np.float32]:
    """Return `planes rows columns` resampled: columns first, where there is least to gather."""
    for axis in (2, 1, 0):
        values = pieces[axis].apply(values, axis)
    return values


def _interpolated_as_nnunet(values: NDArray[np.float32], pieces: Pieces) -> NDArray[np.float32]:
    """Return what `interpolated` does, with the precision of half-precision numbers."""
    return interpolated(values, pieces).astype(np.float16).astype(np.float32)


def _upper_bound(values: NDArray[np.float32]) -> float:
    """Return what no interpolated value exceeds, rounding included."""
    highest, lowest = float(values.max()), float(values.min())
    return highest + ROUNDING_MARGIN * max(abs(highest), abs(lowest))


def cropped_view(whole: NDArray[np.generic], restoration: Restoration) -> NDArray[np.generic]:
    """Return the nonzero crop of a canonical array as `planes rows columns`, planned axis order."""
    planned = whole.transpose(restoration.axis_order)
    box = crop(planned, restoration.crop)
    return box[None] if box.ndim == 2 else box
