"""Turn a stream of logits slabs into the class of every voxel of the original image.

The logits of all classes at full resolution never exist. The output is worked through in small
blocks; for each block one class after the other is interpolated and compared with the best so far,
or one region after the other is written over those before it.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.case import InverseTransform
from autoseg.inference.blocks import BlockInterpolation, Pieces, RunningArgmax
from autoseg.inference.interpolation import axis_sampling
from autoseg.inference.seam_buffer import SeamBuffer
from autoseg.inference.sliding_window import LogitsSlab
from autoseg.preprocessing.crop import crop

BLOCK_PLANES = 8
"""Planes of an output block; neighbouring blocks share their border planes' interpolation."""

BLOCK_VOXELS = 200_000
"""Voxels of an output block: a few float32 arrays of this size stay in a core's cache."""

ROUNDING_MARGIN = 1e-5
"""Linear interpolation in float32 can exceed the largest value by this fraction of the largest
absolute value; it rounds ten times, by at most 6e-8 each."""


class Block(NamedTuple):
    """A box of output planes and rows, all columns: first and one past the last."""

    planes: tuple[int, int]
    rows: tuple[int, int]


def class_map(
    slabs: Iterable[LogitsSlab],
    restoration: InverseTransform,
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
        slabs: The logits on the prepared grid, in the order of `predict_slabs`.
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
    borders = SeamBuffer(num_rows=restoration.prepared_shape[-2])
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for slab in slabs:
            fill = partial(exporter.fill, borders.around(slab))
            kept = pool.submit(borders.keep, slab)  # a copy of many pieces
            list(pool.map(fill, exporter.blocks(slab)))
            kept.result()
    return exporter.finished()


def way_back(restoration: InverseTransform, orders: Sequence[int]) -> Pieces:
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
    """Holds the output."""

    def __init__(
        self,
        samplings: Pieces,
        restoration: InverseTransform,
        *,
        is_regional: bool,
        in_half_precision: bool,
    ) -> None:
        self._samplings = samplings
        self._restoration = restoration
        self._is_regional = is_regional
        self._in_half_precision = in_half_precision
        self._missing = samplings[0].size * samplings[1].size
        self._whole = np.zeros(restoration.full_shape, dtype=np.uint8)
        self._cropped = cropped_view(self._whole, restoration)

    def blocks(self, slab: LogitsSlab) -> list[Block]:
        """Return the blocks that a slab completes, together with those before it."""
        if slab.logits.shape[0] + int(self._is_regional) > 256 and self._whole.itemsize == 1:
            self._whole = self._whole.astype(np.uint16)
            self._cropped = cropped_view(self._whole, self._restoration)
        planes, rows, columns = self._samplings
        first, stop = np.searchsorted(planes.upper, (slab.start, slab.stop)).tolist()
        low, high = np.searchsorted(rows.upper, (slab.row, slab.row_stop)).tolist()
        self._missing -= (stop - first) * (high - low)
        height = max(1, BLOCK_VOXELS // (BLOCK_PLANES * columns.size))
        return [
            Block(
                planes=(plane, min(plane + BLOCK_PLANES, stop)),
                rows=(row, min(row + height, high)),
            )
            for plane, row in product(range(first, stop, BLOCK_PLANES), range(low, high, height))
        ]

    def fill(self, slabs: Sequence[LogitsSlab], block: Block) -> None:
        """Write the classes of one block, all of which some slabs cover, into the output."""
        planes, first_plane, stop_plane = self._samplings[0].piece(*block.planes)
        rows, first_row, stop_row = self._samplings[1].piece(*block.rows)
        source = _Source(slabs, (first_plane, stop_plane), (first_row, stop_row))
        interpolate = BlockInterpolation((planes, rows, self._samplings[2]), source.shape)
        decided = _last_regions if self._is_regional else _classes
        scores = _Scores(source, interpolate, is_halved=self._in_half_precision)
        self._cropped[slice(*block.planes), slice(*block.rows)] = decided(scores, self._whole.dtype)

    def finished(self) -> LabelArray:
        """Return the output.

        Raises:
            ValueError: If some of it was never filled.
        """
        if self._missing:
            whole = self._samplings[0].size * self._samplings[1].size
            msg = f"the logits do not cover {self._missing} of {whole} rows of the image."
            raise ValueError(msg)
        return self._whole


class _Source:
    """The logits that a block is made of, class by class, in memory that is kept."""

    def __init__(
        self, slabs: Sequence[LogitsSlab], planes: tuple[int, int], rows: tuple[int, int]
    ) -> None:
        self._parts: list[tuple[tuple[slice, slice], NDArray[np.float32]]] = []
        for slab in slabs:
            part = slab.within(planes, rows)
            if part is not None:
                along = slice(part.start - planes[0], part.stop - planes[0])
                across = slice(part.row - rows[0], part.row_stop - rows[0])
                self._parts.append(((along, across), part.logits))
        self.num_classes = len(slabs[0].logits)
        self.shape = (planes[1] - planes[0], rows[1] - rows[0], slabs[0].logits.shape[3])
        self._one = np.empty(self.shape, np.float32)

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """Return the logits of one class; the next one overwrites them."""
        for place, part in self._parts:
            self._one[place] = part[index]
        return self._one


class _Scores:
    """The interpolated logits of a block, class by class."""

    def __init__(
        self, source: _Source, interpolate: BlockInterpolation, *, is_halved: bool
    ) -> None:
        self._source = source
        self._interpolate = interpolate
        self._is_halved = is_halved
        self.num_classes = source.num_classes
        self.shape = interpolate.shape

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """Return those of one class; the next one overwrites them."""
        return self._interpolated(self._source[index])

    def reaching(self, index: int, least: float) -> NDArray[np.float32] | None:
        """Return those of one class, overwritten by the next; None if none can reach `least`."""
        coarse = self._source[index]
        return None if _upper_bound(coarse) < least else self._interpolated(coarse)

    def _interpolated(self, coarse: NDArray[np.float32]) -> NDArray[np.float32]:
        found = self._interpolate(coarse)
        return found.astype(np.float16).astype(np.float32) if self._is_halved else found


def _classes(scores: _Scores, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return the classes of one block.

    A class whose highest logit in the block is below the lowest of the winners so far cannot win
    anywhere and is not interpolated; most classes of a whole-body model are far from most blocks.
    """
    winners = RunningArgmax(scores[0], dtype)
    for index in range(1, scores.num_classes):
        found = scores.reaching(index, winners.lowest)
        if found is not None:
            winners.consider(index, found)
    return winners.classes


def _last_regions(scores: _Scores, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return one more than the last region that each voxel of a block is in, 0 for none.

    A region that is nowhere in the block is not interpolated.
    """
    indices = np.zeros(scores.shape, dtype=dtype)
    for index in range(scores.num_classes):
        found = scores.reaching(index, 0.0)
        if found is not None:
            indices[found > 0] = index + 1
    return indices


def _upper_bound(values: NDArray[np.float32]) -> float:
    """Return what no interpolated value exceeds, rounding included."""
    highest, lowest = float(values.max()), float(values.min())
    return highest + ROUNDING_MARGIN * max(abs(highest), abs(lowest))


def cropped_view(whole: NDArray[np.generic], restoration: InverseTransform) -> NDArray[np.generic]:
    """Return the nonzero crop of a canonical array as `planes rows columns`, planned axis order."""
    planned = whole.transpose(restoration.axis_order)
    box = crop(planned, restoration.crop)
    return box[None] if box.ndim == 2 else box
