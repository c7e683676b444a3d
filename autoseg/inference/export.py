"""Convert a stream of logits slabs to a class map on the original grid.

The logits of all classes are never in memory at full resolution. The output is processed in small
blocks. Within a block, one class after the other is interpolated and compared with the running
maximum, or one region after the other overwrites the previous regions.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.case import InverseTransform
from autoseg.inference.blending import LogitsSlab
from autoseg.inference.interpolation import AxisSamplings, BlockInterpolation, RunningArgmax
from autoseg.preprocessing.crop import crop
from autoseg.preprocessing.interpolation import axis_sampling

BLOCK_PLANES = 8
"""Planes of an output block; neighbouring blocks interpolate from the same border planes."""

BLOCK_VOXELS = 200_000
"""Voxels of an output block: a few float32 arrays of this size stay in a core's cache."""

ROUNDING_MARGIN = 1e-5
"""Linear interpolation in float32 can exceed the maximum by this fraction of the largest absolute
value: it rounds ten times, by at most 6e-8 each."""


Block: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""A box of the output with all columns: first plane and one past the last, the same for rows."""


def class_map(
    slabs: Iterable[LogitsSlab],
    restoration: InverseTransform,
    *,
    orders: Sequence[int],
    workers: int,
    is_regional: bool = False,
    in_half_precision: bool = False,
) -> LabelArray:
    """Compute the predicted index of every voxel of the original image, canonical axis order.

    Without regions, the index is the class with the highest interpolated logit; of equal ones, the
    lowest class. With regions, it is one more than the last region whose interpolated logit is
    above 0 (a probability above 1/2), or 0. Voxels outside the nonzero crop are 0. The result is
    bit-identical to resampling the whole array first.

    Args:
        slabs: Logits on the prepared grid, in the order of `predict_slabs`.
        restoration: Inverse transform to the original grid.
        orders: Interpolation order per prepared axis: 0 for nearest, 1 for linear.
        workers: Number of threads.
        is_regional: Whether the logits are those of regions, which may overlap.
        in_half_precision: Whether to round interpolated logits to half precision before they are
            compared, as nnU-Net does; ties between classes are then common.

    Returns:
        uint8, or uint16 for more than 256 indices. `LabelScheme.decode` converts them to label
        values.

    Raises:
        ValueError: If the slabs do not cover the prepared image.
    """
    exporter = _Exporter(
        inverse_samplings(restoration, orders),
        restoration,
        is_regional=is_regional,
        in_half_precision=in_half_precision,
    )
    seams = SeamBuffer(*([1, *restoration.prepared_shape][-3:-1]))
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for slab in slabs:
            fill = partial(exporter.fill, seams.with_neighbours(slab))
            kept = pool.submit(seams.keep, slab)  # strided copies, slow enough for a thread
            list(pool.map(fill, exporter.blocks(slab)))
            kept.result()
    return exporter.result()


def inverse_samplings(restoration: InverseTransform, orders: Sequence[int]) -> AxisSamplings:
    """Build the resampling from the prepared grid to the crop, for planes, rows and columns.

    Args:
        restoration: Inverse transform to the original grid.
        orders: Interpolation order per prepared axis: 0 for nearest, 1 for linear.
    """
    samplings = [
        axis_sampling(source, target, order=order)
        for source, target, order in zip(
            restoration.prepared_shape, restoration.cropped_shape, orders, strict=True
        )
    ]
    planes, rows, columns = [axis_sampling(1, 1, order=0)] * (3 - len(samplings)) + samplings
    return planes, rows, columns


class SeamBuffer:
    """Buffers the last plane of each strip of rows, and the last rows of the previous strip.

    Linear interpolation needs two neighbours. At a slab boundary, one of them is the last plane or
    the last row of a previous slab.
    """

    def __init__(self, num_planes: int, num_rows: int) -> None:
        """Start with an empty buffer.

        Args:
            num_planes: Total planes; the last one, and so the only one of a picture, needs no
                buffer.
            num_rows: Total rows of all strips; the last row needs no buffer.
        """
        self._num_planes = num_planes
        self._num_rows = num_rows
        self._planes: dict[int, list[LogitsSlab]] = defaultdict(list)  # by the first row
        self._rows: dict[int, list[LogitsSlab]] = defaultdict(list)  # by the next row

    def with_neighbours(self, slab: LogitsSlab) -> list[LogitsSlab]:
        """Return a slab and the buffered borders next to it; they do not overlap.

        Args:
            slab: The next slab; the previous slabs of its strip and of the previous strip must
                have been passed to `keep`.
        """
        return [slab, *self._planes[slab.row], *self._rows[slab.row]]

    def keep(self, slab: LogitsSlab) -> None:
        """Buffer the borders of a slab, and discard the borders that only this slab needed."""
        self._planes.pop(slab.row, None)
        if slab.stop < self._num_planes:
            last_plane = slab.logits[:, -1:].copy()
            self._planes[slab.row] = [LogitsSlab(slab.stop - 1, last_plane, slab.row)]
        if slab.row_stop < self._num_rows:
            last_row = LogitsSlab(slab.start, slab.logits[:, :, -1:].copy(), slab.row_stop - 1)
            self._rows[slab.row_stop].append(last_row)
        borders = self._rows[slab.row]
        self._rows[slab.row] = [border for border in borders if border.stop >= slab.stop]


class _Exporter:
    """Allocates the class map and fills it block by block."""

    def __init__(
        self,
        samplings: AxisSamplings,
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
        """Return the output blocks that can be computed from a slab and the previous slabs."""
        if slab.logits.shape[0] + int(self._is_regional) > 256 and self._whole.itemsize == 1:
            self._whole = self._whole.astype(np.uint16)
            self._cropped = cropped_view(self._whole, self._restoration)
        planes, rows, columns = self._samplings
        first, stop = np.searchsorted(planes.upper, (slab.start, slab.stop)).tolist()
        low, high = np.searchsorted(rows.upper, (slab.row, slab.row_stop)).tolist()
        self._missing -= (stop - first) * (high - low)
        height = max(1, BLOCK_VOXELS // (BLOCK_PLANES * columns.size))
        return [
            ((plane, min(plane + BLOCK_PLANES, stop)), (row, min(row + height, high)))
            for plane, row in product(range(first, stop, BLOCK_PLANES), range(low, high, height))
        ]

    def fill(self, slabs: Sequence[LogitsSlab], block: Block) -> None:
        """Compute one block from the slabs that cover it and write it into the class map."""
        scores = _Scores(slabs, self._samplings, block, in_half_precision=self._in_half_precision)
        decide = _last_regions if self._is_regional else _argmax
        planes, rows = block
        self._cropped[slice(*planes), slice(*rows)] = decide(scores, self._whole.dtype)

    def result(self) -> LabelArray:
        """Return the class map; raise a ValueError if some rows were not filled."""
        if self._missing:
            whole = self._samplings[0].size * self._samplings[1].size
            msg = (
                f"the logits do not cover {self._missing} of {whole} rows of the image; expected "
                "slabs of the whole prepared image. Pass all of them."
            )
            raise ValueError(msg)
        return self._whole


class _Scores:
    """The interpolated logits of a block, one class at a time, in reused buffers."""

    def __init__(
        self,
        slabs: Sequence[LogitsSlab],
        samplings: AxisSamplings,
        block: Block,
        *,
        in_half_precision: bool,
    ) -> None:
        planes, first, stop = samplings[0].piece(*block[0])
        rows, low, high = samplings[1].piece(*block[1])
        self._parts: list[tuple[tuple[slice, slice], NDArray[np.float32]]] = []
        for slab in slabs:
            part = slab.within((first, stop), (low, high))
            if part is not None:
                along = slice(part.start - first, part.stop - first)
                across = slice(part.row - low, part.row_stop - low)
                self._parts.append(((along, across), part.logits))
        self.num_classes = len(slabs[0].logits)
        self._coarse = np.empty((stop - first, high - low, slabs[0].logits.shape[3]), np.float32)
        self._interpolate = BlockInterpolation((planes, rows, samplings[2]), self._coarse.shape)
        self.shape = self._interpolate.shape
        self._in_half_precision = in_half_precision

    def if_reaching(self, index: int, minimum: float) -> NDArray[np.float32] | None:
        """Return the logits of a class, or None if all are below `minimum`; see `__getitem__`."""
        self._load(index)
        return None if _upper_bound(self._coarse) < minimum else self._interpolated()

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """Return the logits of a class; overwritten by the next call."""
        self._load(index)
        return self._interpolated()

    def _load(self, index: int) -> None:
        for box, logits in self._parts:
            self._coarse[box] = logits[index]

    def _interpolated(self) -> NDArray[np.float32]:
        logits = self._interpolate(self._coarse)
        return logits.astype(np.float16).astype(np.float32) if self._in_half_precision else logits


def _argmax(scores: _Scores, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return the classes of one block.

    A class whose highest logit in the block is below the lowest running maximum cannot win anywhere
    and is not interpolated. Most classes of a whole-body model are far from most blocks.
    """
    best = RunningArgmax(scores[0], dtype)
    for index in range(1, scores.num_classes):
        logits = scores.if_reaching(index, best.lowest)
        if logits is not None:
            best.update(index, logits)
    return best.classes


def _last_regions(scores: _Scores, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return one more than the last region that contains each voxel of a block, 0 for none.

    Regions whose logits are below 0 in the whole block are not interpolated.
    """
    indices = np.zeros(scores.shape, dtype=dtype)
    for index in range(scores.num_classes):
        logits = scores.if_reaching(index, 0.0)
        if logits is not None:
            indices[logits > 0] = index + 1
    return indices


def _upper_bound(values: NDArray[np.float32]) -> float:
    """Return an upper bound of all interpolated values, rounding errors included."""
    highest, lowest = float(values.max()), float(values.min())
    return highest + ROUNDING_MARGIN * max(abs(highest), abs(lowest))


def cropped_view(whole: NDArray[np.generic], restoration: InverseTransform) -> NDArray[np.generic]:
    """Return a view of a canonical array's nonzero crop, `planes rows columns` in plan order."""
    planned = whole.transpose(restoration.axis_order)
    box = crop(planned, restoration.crop)
    return box[None] if box.ndim == 2 else box
