"""Accumulate tile outputs where tiles still overlap, and yield slabs of finished logits.

Tiles arrive plane by plane, and row by row within a plane. The volume is divided into strips of
rows. Some planes of a strip are finished once the last tile that overlaps them has been added. Only
the strips that the current row of tiles overlaps are held at the full height of a patch; of all
other strips, only the lower planes are held, which the next tiles overlap again.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import prod

import numpy as np
import torch
from jaxtyping import Float32
from typing_extensions import override

from autoseg.core.device import is_out_of_main_memory, is_out_of_memory
from autoseg.core.errors import CaseError
from autoseg.core.progress import Progress
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.tiling import AxisTiles, nnunet_weights
from autoseg.inference.window import Tile

DEVICE_SHARE = 0.4
"""Fraction of the accelerator's free memory that the sums may take. Larger sums are kept in main
memory, so that the networks have the larger part of the device."""

SLAB_BYTES = 64 * 2**20
"""Approximate size of a slab of finished logits, independent of patch size and classes."""

STRIP_BYTES = 256 * 2**20
"""A volume whose sums over all rows, at the height of a patch, fit into this many bytes is a single
strip: whole planes need fewer slabs."""


@dataclass(frozen=True)
class LogitsSlab:
    """Finished logits of one image: a range of planes, a range of rows, and all columns.

    Attributes:
        start: Position of the first plane along the first prepared axis; 0 for 2-D images.
        logits: Mean logits; a 2-D image has one plane.
        row: Position of the first row.
    """

    start: int
    logits: Float32[np.ndarray, "classes planes rows columns"]
    row: int = 0

    @property
    def stop(self) -> int:
        """One past the last plane."""
        return self.start + int(self.logits.shape[1])

    @property
    def row_stop(self) -> int:
        """One past the last row."""
        return self.row + int(self.logits.shape[2])

    def within(self, planes: tuple[int, int], rows: tuple[int, int]) -> "LogitsSlab | None":
        """Return the part inside a range of planes and rows as a view; None if it is empty.

        Args:
            planes: First plane and one past the last.
            rows: First row and one past the last.
        """
        start, stop = max(self.start, planes[0]), min(self.stop, planes[1])
        row, row_stop = max(self.row, rows[0]), min(self.row_stop, rows[1])
        if start >= stop or row >= row_stop:
            return None
        part = (
            slice(start - self.start, stop - self.start),
            slice(row - self.row, row_stop - self.row),
        )
        return LogitsSlab(start, self.logits[:, *part], row)


@dataclass(frozen=True)
class AccumulatorShape:
    """Shape of the volume to accumulate, and its tiles.

    Attributes:
        padded: Size of the padded volume that the tiles cover, voxels.
        patch: Size of a tile's logits, voxels; three axes.
        axes: The tiles along each axis, with their weights.
    """

    padded: tuple[int, ...]
    patch: tuple[int, ...]
    axes: tuple[AxisTiles, ...]

    def strips(self, voxel_bytes: int) -> tuple[tuple[int, int], ...]:
        """Divide the rows into strips.

        Every start of a row of tiles is a boundary between strips, and so is the end of the last
        row of tiles but one.

        Args:
            voxel_bytes: Bytes that the sums take per voxel.

        Returns:
            First row of each strip, and one past its last row.
        """
        rows, columns = self.padded[1:]
        starts = self.axes[1].starts
        if len(starts) == 1 or voxel_bytes * self.patch[0] * rows * columns <= STRIP_BYTES:
            return ((0, rows),)
        return tuple(pairwise((*starts, starts[-2] + self.patch[1], rows)))

    def max_voxels(self, strips: Sequence[tuple[int, int]]) -> int:
        """Return the largest number of voxels that strips hold at the same time."""
        planes, rows = (axis.starts for axis in self.axes[:2])
        below = self.patch[0] - (planes[1] - planes[0]) if len(planes) > 1 else 0
        lows, highs = zip(*strips, strict=True)
        active = max(
            min(high for high in highs if high >= row + self.patch[1])
            - max(low for low in lows if low <= row)
            for row in rows
        )
        return int(self.padded[2] * (self.patch[0] * active + below * (self.padded[1] - active)))


class LogitsAccumulator:
    """Accumulates weighted tile outputs of an ensemble and yields the finished logits.

    The sums are on the accelerator if they fit next to the networks. When the accelerator runs out
    of memory, the sums move to main memory with a warning, and the failed operation is repeated.
    """

    def __init__(self, ensemble: Ensemble, shape: AccumulatorShape, progress: Progress) -> None:
        """Start with empty sums.

        Args:
            ensemble: The networks whose outputs are accumulated.
            shape: The volume and its tiles.
            progress: Receives a warning if the sums move to main memory.
        """
        self._ensemble = ensemble
        self._shape = shape
        self._progress = progress
        voxel_bytes = self._num_channels() * self._dtype().itemsize
        self._strips = shape.strips(voxel_bytes)
        self._sums: dict[int, torch.Tensor] = {}  # by strip: channels, planes, rows, columns
        num_bytes = voxel_bytes * shape.max_voxels(self._strips)
        self._device = _buffer_device(ensemble.device, num_bytes)
        self._weights = [torch.from_numpy(axis.weights).to(self._device) for axis in shape.axes]
        self._position = (0, 0)  # plane and row of the current tiles

    @property
    def is_on_device(self) -> bool:
        """Whether the sums are in the memory of an accelerator."""
        return self._device.type != "cpu"

    def offload_to_host(self) -> bool:
        """Move the sums to main memory; return True if that freed memory on the accelerator."""
        if not self.is_on_device:
            return False
        self._progress.say(
            f"warning: {self._ensemble.device} ran out of memory; tiles are now averaged in main "
            "memory, which is slower."
        )
        self._move_to_host()
        _release(self._ensemble.device)
        return True

    def add(self, tile: Tile, outputs: torch.Tensor) -> Iterator[LogitsSlab]:
        """Yield the slabs that are finished before a tile, then add its weighted outputs.

        Args:
            tile: Position of the tile; tiles must be sorted by plane, then row.
            outputs: Outputs of the networks, `channels *patch`; a 2-D patch is one plane.

        Raises:
            CaseError: If a finished logit is NaN or infinite.
        """
        if self._position != tile[:2]:
            yield from self.finished()
            self._position = tile[:2]
        self._attempt(lambda: self._add(tile, outputs))

    def finished(self) -> Iterator[LogitsSlab]:
        """Yield the slabs that no tile after the current row of tiles overlaps.

        After the last tile, these are all remaining slabs.

        Raises:
            CaseError: If a logit is NaN or infinite.
        """
        plane, row = self._position
        planes, rows = (axis.starts for axis in self._shape.axes[:2])
        start, stop = (*planes, self._shape.padded[0])[plane : plane + 2]
        low, high = (*rows, self._shape.padded[1])[row : row + 2]
        for strip, (_, last) in enumerate(self._strips):
            if low < last <= high:
                yield from self._slabs(strip, start, stop - start)
                self._attempt(partial(self._drop_planes, strip, stop - start))

    def _slabs(self, strip: int, start: int, count: int) -> Iterator[LogitsSlab]:
        """Yield the first `count` planes of a strip in slabs of about `SLAB_BYTES`."""
        sums = self._sums[strip]
        plane_bytes = 4 * self._ensemble.num_classes * prod(sums.shape[2:])
        step = max(1, SLAB_BYTES // plane_bytes)
        for first in range(0, count, step):
            logits = self._logits(strip, first, min(first + step, count))
            yield LogitsSlab(start=start + first, logits=logits, row=self._strips[strip][0])

    def _num_channels(self) -> int:
        return self._ensemble.num_channels

    def _dtype(self) -> torch.dtype:
        return torch.float32

    def _move_to_host(self) -> None:
        self._device = torch.device("cpu")
        self._sums = {strip: sums.cpu() for strip, sums in self._sums.items()}
        self._weights = [weights.cpu() for weights in self._weights]

    def _add(self, tile: Tile, outputs: torch.Tensor) -> None:
        """Add a tile's outputs to the sums; all memory is allocated before the first addition."""
        volume = outputs.reshape(len(outputs), *self._shape.patch).to(self._device)
        weighted, weights = self._weighted(tile, volume)
        row = self._shape.axes[1].starts[tile.row]
        overlaps = [
            (self._strip_view(strip, tile, first, stop), slice(first - row, stop - row))
            for strip, (low, high) in enumerate(self._strips)
            if (first := max(low, row)) < (stop := min(high, row + self._shape.patch[1]))
        ]
        for sums, rows in overlaps:
            self._add_weighted(sums, weighted[:, :, rows], weights[:, rows])

    def _weighted(self, tile: Tile, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the values to add for a tile, and the weight of each of its voxels."""
        along = [weights[index] for weights, index in zip(self._weights, tile, strict=True)]
        return outputs, along[0][:, None, None] * (along[1][:, None] * along[2])

    def _add_weighted(
        self, sums: torch.Tensor, outputs: torch.Tensor, weights: torch.Tensor
    ) -> None:
        """Add weighted outputs to a view of the sums in place, without a temporary array."""
        sums.addcmul_(outputs, weights)

    def _strip_view(self, strip: int, tile: Tile, first: int, stop: int) -> torch.Tensor:
        """Return a view of a strip's sums under a tile, from row `first` to row `stop`."""
        column = self._shape.axes[2].starts[tile.column]
        low, _ = self._strips[strip]
        sums = self._at_full_height(strip)
        return sums[:, :, first - low : stop - low, column : column + self._shape.patch[2]]

    def _at_full_height(self, strip: int) -> torch.Tensor:
        """Return the sums of a strip, extended with zeros to the height of a patch."""
        sums = self._sums.get(strip)
        if sums is None or sums.shape[1] < self._shape.patch[0]:
            low, high = self._strips[strip]
            size = (self._shape.patch[0], high - low, self._shape.padded[2])
            whole = torch.zeros(
                (self._num_channels(), *size), dtype=self._dtype(), device=self._device
            )
            if sums is not None:
                whole[:, : sums.shape[1]] = sums
            self._sums[strip] = whole
        return self._sums[strip]

    def _logits(
        self, strip: int, first: int, stop: int
    ) -> Float32[np.ndarray, "classes planes rows columns"]:
        """Return a copy of the logits of some planes of a strip.

        Raises:
            CaseError: If a logit is NaN or infinite.
        """
        collected: list[torch.Tensor] = []

        def collect() -> None:
            means = self._means(self._sums[strip][:, first:stop])
            scores = self._ensemble.scores(means[None])[0]
            # split networks compute new tensors; otherwise the scores may be a view of the sums
            collected.append(scores.to("cpu", copy=not self._ensemble.split_networks))

        self._attempt(collect)
        (logits,) = collected
        if not all(torch.isfinite(extreme) for extreme in torch.aminmax(logits)):
            msg = (
                "the network's output contains NaN or infinite values; expected finite logits. "
                "Predict with --precision float32; if that does not help, the image or the weights "
                "are damaged."
            )
            raise CaseError(msg)
        return logits.numpy()

    def _means(self, sums: torch.Tensor) -> torch.Tensor:
        """Return the weighted means for the given sums; may be a view."""
        return sums

    def _drop_planes(self, strip: int, count: int) -> None:
        """Discard the first `count` planes of a strip."""
        if count == self._shape.patch[0]:
            del self._sums[strip]
        else:
            self._sums[strip] = self._sums[strip][:, count:].clone()

    def _attempt(self, action: Callable[[], None]) -> None:
        """Run an action; if the accelerator runs out of memory, offload the sums and retry."""
        try:
            action()
        except RuntimeError as error:
            is_device_memory = is_out_of_memory(error) and not is_out_of_main_memory(error)
            if not is_device_memory or not self.offload_to_host():
                raise
            action()


class HalfPrecisionAccumulator(LogitsAccumulator):
    """Blends tiles in half precision as nnU-Net does, for models that nnU-Net trained.

    The last channel holds the sum of the weights; the other channels are divided by it at the end.
    Where weights are tiny, as in the corners of an image, half precision rounds logits coarsely.
    Exact blending would therefore classify about 2 of 1000 voxels differently where tiles disagree.
    """

    def __init__(self, ensemble: Ensemble, shape: AccumulatorShape, progress: Progress) -> None:
        super().__init__(ensemble, shape, progress)
        self._weight_map = torch.from_numpy(nnunet_weights(shape.patch)).to(self._device)

    @override
    def _num_channels(self) -> int:
        return super()._num_channels() + 1

    @override
    def _dtype(self) -> torch.dtype:
        return torch.float16

    @override
    def _move_to_host(self) -> None:
        super()._move_to_host()
        self._weight_map = self._weight_map.cpu()

    @override
    def _weighted(self, tile: Tile, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return outputs * self._weight_map, self._weight_map

    @override
    def _add_weighted(
        self, sums: torch.Tensor, outputs: torch.Tensor, weights: torch.Tensor
    ) -> None:
        sums[:-1] += outputs
        sums[-1] += weights

    @override
    def _means(self, sums: torch.Tensor) -> torch.Tensor:
        return (sums[:-1] / sums[-1:]).float()


def _buffer_device(device: torch.device, num_bytes: int) -> torch.device:
    """Return the accelerator if the sums fit next to the networks, otherwise the CPU."""
    if device.type == "cuda" and num_bytes < DEVICE_SHARE * _free_bytes(device):
        return device
    return torch.device("cpu")


def _free_bytes(device: torch.device) -> int:
    """Return the free memory of a GPU, including memory that torch's allocator only caches."""
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + cached


def _release(device: torch.device) -> None:
    """Release torch's cached memory of the accelerator."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
