"""Accumulate tile outputs where tiles still overlap, and yield slabs of finished logits.

Some planes of a strip of rows are finished once the last tile that overlaps them has been added.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32

from autoseg.core.device import is_out_of_main_memory, is_out_of_memory
from autoseg.core.errors import CaseError
from autoseg.core.progress import Progress
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.tile_sums import AccumulatorShape, HalfPrecisionSums, TileSums
from autoseg.inference.tiling import Tile

R = TypeVar("R")

SLAB_BYTES = 64 * 2**20
"""Approximate size of a slab of finished logits, independent of patch size and classes."""


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


class LogitsAccumulator:
    """Accumulates weighted tile outputs of an ensemble and yields the finished logits.

    The sums are on the accelerator if they fit next to the networks. When the accelerator runs out
    of memory, the sums move to main memory with a warning, and the failed operation is repeated.
    """

    def __init__(self, ensemble: Ensemble, shape: AccumulatorShape, progress: Progress) -> None:
        """Start with empty sums.

        Args:
            ensemble: The networks whose outputs are accumulated, and how tiles are blended.
            shape: The volume and its tiles.
            progress: Receives a warning if the sums move to main memory.
        """
        self._ensemble = ensemble
        self._shape = shape
        self._progress = progress
        sums_type = HalfPrecisionSums if ensemble.blending == "nnunet" else TileSums
        self._sums = sums_type(shape, ensemble.num_channels, ensemble.device)
        self._position = (0, 0)  # plane and row of the current tiles

    @property
    def is_on_device(self) -> bool:
        """Whether the sums are in the memory of an accelerator."""
        return self._sums.device.type != "cpu"

    def offload_to_host(self) -> bool:
        """Move the sums to main memory; return True if that freed memory on the accelerator."""
        if not self.is_on_device:
            return False
        self._progress.say(
            f"warning: {self._ensemble.device} ran out of memory; tiles are now averaged in main "
            "memory, which is slower."
        )
        self._sums.move_to_host()
        torch.cuda.empty_cache()
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
        self._attempt(partial(self._sums.add, tile, outputs))

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
        for strip, (_, last) in enumerate(self._sums.strips):
            if low < last <= high:
                yield from self._slabs(strip, start, stop - start)
                self._attempt(partial(self._sums.drop_planes, strip, stop - start))

    def _slabs(self, strip: int, start: int, count: int) -> Iterator[LogitsSlab]:
        """Yield the first `count` planes of a strip in slabs of about `SLAB_BYTES`."""
        sums = self._sums.by_strip[strip]
        plane_bytes = 4 * self._ensemble.num_classes * prod(sums.shape[2:])
        step = max(1, SLAB_BYTES // plane_bytes)
        for first in range(0, count, step):
            logits = self._logits(strip, first, min(first + step, count))
            yield LogitsSlab(start=start + first, logits=logits, row=self._sums.strips[strip][0])

    def _logits(
        self, strip: int, first: int, stop: int
    ) -> Float32[np.ndarray, "classes planes rows columns"]:
        """Copy the logits of some planes of a strip; raise a CaseError if one is not finite."""

        def compute() -> torch.Tensor:
            means = self._sums.means(strip, first, stop)
            scores = self._ensemble.scores(means[None])[0]
            # split networks compute new tensors; otherwise the scores may be a view of the sums
            return scores.to("cpu", copy=not self._ensemble.split_networks)

        logits = self._attempt(compute)
        if not all(torch.isfinite(extreme) for extreme in torch.aminmax(logits)):
            msg = (
                "the network's output contains NaN or infinite values; expected finite logits. "
                "Predict with --precision float32; if that does not help, the image or the weights "
                "are damaged."
            )
            raise CaseError(msg)
        return logits.numpy()

    def _attempt(self, action: Callable[[], R]) -> R:
        """Run an action; if the accelerator runs out of memory, offload the sums and retry."""
        try:
            return action()
        except RuntimeError as error:
            is_device_memory = is_out_of_memory(error) and not is_out_of_main_memory(error)
            if not is_device_memory or not self.offload_to_host():
                raise
            return action()
