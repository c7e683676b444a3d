"""Hold the part of a volume that tiles can still touch, and hand over what is finished.

Tiles come plane by plane, and in each row by row. The volume is held in strips of rows: once the
last tile that reaches a strip at some planes is in, those planes of the strip are finished. So only
the strips that the current row of tiles touches are held at the full height of a patch; of all
others there are the planes below, which the next tiles reach again.
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
"""Fraction of the accelerator's free memory that the held sums may take; beyond it they are kept in
main memory, so that the networks keep the larger part."""

SLAB_BYTES = 64 * 2**20
"""What is finished leaves in slabs of about this size, however large patch and classes make it."""

STRIP_BYTES = 256 * 2**20
"""A volume whose rows take no more than this at the height of a patch is a single strip: whole
planes make fewer slabs."""


@dataclass(frozen=True)
class LogitsSlab:
    """Finished logits of one image: some planes, of these some rows, and all columns.

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
        """Return the part that lies in some planes and rows, as a view; None if nothing does.

        Args:
            planes: The first, and the one behind the last.
            rows: The same.
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
    """What the held sums must cover.

    Attributes:
        padded: Size of what tiles cover, voxels.
        patch: Size of a tile's scores, voxels; three axes.
        axes: The tiles along each axis, with their weights.
    """

    padded: tuple[int, ...]
    patch: tuple[int, ...]
    axes: tuple[AxisTiles, ...]

    def strips(self, voxel_bytes: int) -> tuple[tuple[int, int], ...]:
        """Return the first row of each strip, and the one behind its last.

        Each row of tiles ends a strip where it begins; the last but one does where it ends, too.

        Args:
            voxel_bytes: What is held for a voxel.
        """
        rows, columns = self.padded[1:]
        starts = self.axes[1].starts
        if len(starts) == 1 or voxel_bytes * self.patch[0] * rows * columns <= STRIP_BYTES:
            return ((0, rows),)
        return tuple(pairwise((*starts, starts[-2] + self.patch[1], rows)))

    def most_voxels(self, strips: Sequence[tuple[int, int]]) -> int:
        """Return how many voxels of strips are held at once, at most."""
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
    """The weighted outputs of an ensemble, where tiles can still add to them.

    They are on the accelerator if they fit it beside the networks. When its memory runs out they
    leave it for main memory, which is said, and what ran out of memory is done again.
    """

    def __init__(self, ensemble: Ensemble, shape: AccumulatorShape, progress: Progress) -> None:
        """Begin with nothing.

        Args:
            ensemble: Whose outputs are held.
            shape: What they cover.
            progress: Where it is said that they leave the accelerator.
        """
        self._ensemble = ensemble
        self._shape = shape
        self._progress = progress
        voxel_bytes = self._num_channels() * self._dtype().itemsize
        self._strips = shape.strips(voxel_bytes)
        self._sums: dict[int, torch.Tensor] = {}  # by strip: channels, planes, rows, columns
        num_bytes = voxel_bytes * shape.most_voxels(self._strips)
        self._device = _buffer_device(ensemble.device, num_bytes)
        self._weights = [torch.from_numpy(axis.weights).to(self._device) for axis in shape.axes]
        self._at = (0, 0)

    @property
    def is_on_device(self) -> bool:
        """Whether they take memory of an accelerator."""
        return self._device.type != "cpu"

    def leave_device(self) -> bool:
        """Go to main memory; return whether that made room on the accelerator."""
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
        """Yield what is finished before a tile, then add its outputs, weighted.

        Args:
            tile: Where it is; tiles come in the order of their planes, then rows.
            outputs: `channels *patch`; a 2-D patch is one plane.

        Raises:
            CaseError: If a finished logit is NaN or infinite.
        """
        if self._at != tile[:2]:
            yield from self.finished()
            self._at = tile[:2]
        self._attempt(lambda: self._add(tile, outputs))

    def finished(self) -> Iterator[LogitsSlab]:
        """Yield what no tile behind the current row of tiles touches; after the last, the rest.

        Raises:
            CaseError: If a logit is NaN or infinite.
        """
        plane, row = self._at
        planes, rows = (axis.starts for axis in self._shape.axes[:2])
        start, stop = (*planes, self._shape.padded[0])[plane : plane + 2]
        low, high = (*rows, self._shape.padded[1])[row : row + 2]
        for strip, (_, last) in enumerate(self._strips):
            if low < last <= high:
                yield from self._slabs(strip, start, stop - start)
                self._attempt(partial(self._let_go, strip, stop - start))

    def _slabs(self, strip: int, start: int, count: int) -> Iterator[LogitsSlab]:
        """Yield the first planes of a strip, in pieces."""
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
        """Add a tile's outputs; whatever may run out of memory comes before anything is added."""
        volume = outputs.reshape(len(outputs), *self._shape.patch).to(self._device)
        weighted, weights = self._weighed(tile, volume)
        row = self._shape.axes[1].starts[tile.row]
        touched = [
            (self._touched(strip, tile, first, stop), slice(first - row, stop - row))
            for strip, (low, high) in enumerate(self._strips)
            if (first := max(low, row)) < (stop := min(high, row + self._shape.patch[1]))
        ]
        for sums, rows in touched:
            self._put(sums, weighted[:, :, rows], weights[:, rows])

    def _weighed(self, tile: Tile, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is added where a tile is, and how much each of its voxels counts."""
        along = [weights[index] for weights, index in zip(self._weights, tile, strict=True)]
        return outputs, along[0][:, None, None] * (along[1][:, None] * along[2])

    def _put(self, sums: torch.Tensor, outputs: torch.Tensor, weights: torch.Tensor) -> None:
        """Add to some sums, in no memory of its own."""
        sums.addcmul_(outputs, weights)

    def _touched(self, strip: int, tile: Tile, first: int, stop: int) -> torch.Tensor:
        """Return a strip's sums under a tile, as a view, from one row of the volume to another."""
        column = self._shape.axes[2].starts[tile.column]
        low, _ = self._strips[strip]
        sums = self._at_full_height(strip)
        return sums[:, :, first - low : stop - low, column : column + self._shape.patch[2]]

    def _at_full_height(self, strip: int) -> torch.Tensor:
        """Return the sums of a strip, with planes for the current tiles."""
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
        """Return the logits of some held planes, in memory of their own.

        Raises:
            CaseError: If one is NaN or infinite.
        """
        found: list[torch.Tensor] = []

        def collect() -> None:
            means = self._means(self._sums[strip][:, first:stop])
            scores = self._ensemble.scores(means[None])[0]
            found.append(scores.to("cpu", copy=not self._ensemble.parts))

        self._attempt(collect)
        (logits,) = found
        if not all(torch.isfinite(extreme) for extreme in torch.aminmax(logits)):
            msg = (
                "the network's output holds NaN or infinite values. Predict with "
                "--precision float32; if that does not help, the image or the weights are damaged."
            )
            raise CaseError(msg)
        return logits.numpy()

    def _means(self, sums: torch.Tensor) -> torch.Tensor:
        """Return the weighted mean of some sums; may be a view."""
        return sums

    def _let_go(self, strip: int, count: int) -> None:
        """Keep of a strip only the planes behind the first ones."""
        if count == self._shape.patch[0]:
            del self._sums[strip]
        else:
            self._sums[strip] = self._sums[strip][:, count:].clone()

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do something; if the accelerator's memory runs out, leave it and do it again."""
        try:
            action()
        except RuntimeError as error:
            is_of_device = is_out_of_memory(error) and not is_out_of_main_memory(error)
            if not is_of_device or not self.leave_device():
                raise
            action()


class HalfPrecisionAccumulator(LogitsAccumulator):
    """Blends tiles as nnU-Net does, rounding included, for models that it trained.

    The last channel holds the sum of the weights, by which the others are divided at the end.
    Where weights are tiny, as in the corners of an image, half precision rounds scores coarsely;
    exact blending then puts two voxels of a thousand into other classes where tiles disagree.
    """

    def __init__(self, ensemble: Ensemble, shape: AccumulatorShape, progress: Progress) -> None:
        super().__init__(ensemble, shape, progress)
        self._map = torch.from_numpy(nnunet_weights(shape.patch)).to(self._device)

    @override
    def _num_channels(self) -> int:
        return super()._num_channels() + 1

    @override
    def _dtype(self) -> torch.dtype:
        return torch.float16

    @override
    def _move_to_host(self) -> None:
        super()._move_to_host()
        self._map = self._map.cpu()

    @override
    def _weighed(self, tile: Tile, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return outputs * self._map, self._map

    @override
    def _put(self, sums: torch.Tensor, outputs: torch.Tensor, weights: torch.Tensor) -> None:
        sums[:-1] += outputs
        sums[-1] += weights

    @override
    def _means(self, sums: torch.Tensor) -> torch.Tensor:
        return (sums[:-1] / sums[-1:]).float()


def _buffer_device(device: torch.device, num_bytes: int) -> torch.device:
    """Return the accelerator if the held sums fit it beside the networks, otherwise the CPU."""
    if device.type == "cuda" and num_bytes < DEVICE_SHARE * _free_bytes(device):
        return device
    return torch.device("cpu")


def _free_bytes(device: torch.device) -> int:
    """Return a GPU's memory that is free, also what torch only keeps in case it is needed."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _release(device: torch.device) -> None:
    """Give memory that torch keeps for later back to the accelerator."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
