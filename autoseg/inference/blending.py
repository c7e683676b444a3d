"""Hold the planes of a volume that tiles can still touch, and hand over those that are finished."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from typing_extensions import override

from autoseg.core.device import is_out_of_memory
from autoseg.core.errors import CaseError
from autoseg.core.progress import Progress
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.tiling import AxisTiles, nnunet_weights
from autoseg.inference.window import Tile

DEVICE_SHARE = 0.4
"""Fraction of the accelerator's free memory that the held planes may take; beyond it they are kept
in main memory, so that the networks keep the larger part."""

SLAB_BYTES = 128 * 2**20
"""Finished planes leave in slabs of about this size, however large patch and classes make them."""


@dataclass(frozen=True)
class LogitsSlab:
    """Finished planes of one image's logits.

    Attributes:
        start: Position of the first plane along the first prepared axis; 0 for 2-D images.
        logits: Mean logits; a 2-D image has one plane.
    """

    start: int
    logits: Float32[np.ndarray, "classes planes rows columns"]

    @property
    def stop(self) -> int:
        """One past the last plane."""
        return self.start + int(self.logits.shape[1])


@dataclass(frozen=True)
class HeldShape:
    """What the held planes must cover.

    Attributes:
        frame: Size of what tiles cover, voxels.
        patch: Size of a tile's scores, voxels; three axes.
        axes: The tiles along each axis, with their weights.
    """

    frame: tuple[int, ...]
    patch: tuple[int, ...]
    axes: tuple[AxisTiles, ...]


class HeldPlanes:
    """The weighted answers of an ensemble, for the planes that tiles can still touch.

    They are on the accelerator if they fit it beside the networks. When its memory runs out they
    leave it for main memory, which is said, and what ran out of memory is done again.
    """

    def __init__(self, ensemble: Ensemble, shape: HeldShape, progress: Progress) -> None:
        """Begin with zeros.

        Args:
            ensemble: Whose answers are held.
            shape: How many.
            progress: Where it is said that they leave the accelerator.
        """
        self._ensemble = ensemble
        self._shape = shape
        self._progress = progress
        self._start = 0
        size = (self._num_channels(), shape.patch[0], *shape.frame[1:])
        num_bytes = int(np.prod(size)) * self._dtype().itemsize
        self._sums = _zeros(size, self._dtype(), _buffer_device(ensemble.device, num_bytes))
        self._weights = [
            torch.from_numpy(axis.weights).to(self._sums.device) for axis in shape.axes
        ]

    @property
    def is_on_device(self) -> bool:
        """Whether they take memory of an accelerator."""
        return self._sums.device.type != "cpu"

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

    def add(self, tile: Tile, answers: torch.Tensor) -> None:
        """Add a tile's answers, weighted; all of its planes must be held.

        Args:
            tile: Where it is.
            answers: `channels *patch`; a 2-D patch is one plane.
        """
        self._attempt(lambda: self._add(tile, answers))

    def advance(self, start: int) -> Iterator[LogitsSlab]:
        """Yield the planes before `start`, now finished, and hold those from it on.

        Raises:
            CaseError: If a logit is NaN or infinite.
        """
        count = min(start - self._start, self._shape.patch[0])
        if count == 0:
            return
        plane_bytes = 4 * self._ensemble.num_classes * int(np.prod(self._sums.shape[2:]))
        step = max(1, SLAB_BYTES // plane_bytes)
        for first in range(0, count, step):
            logits = self._logits(first, min(first + step, count))
            yield LogitsSlab(start=self._start + first, logits=logits)
        self._let_go(count)
        self._start = start

    def _num_channels(self) -> int:
        return self._ensemble.num_channels

    def _dtype(self) -> torch.dtype:
        return torch.float32

    def _move_to_host(self) -> None:
        self._sums = self._sums.cpu()
        self._weights = [weights.cpu() for weights in self._weights]

    def _add(self, tile: Tile, answers: torch.Tensor) -> None:
        along = [weights[index] for weights, index in zip(self._weights, tile, strict=True)]
        weights = along[0][:, None, None] * (along[1][:, None] * along[2])
        self._touched(tile).addcmul_(self._on_their_device(answers), weights)

    def _touched(self, tile: Tile) -> torch.Tensor:
        """Return the held voxels of a tile, all channels, as a view."""
        axes, patch = self._shape.axes, self._shape.patch
        row, column = axes[1].starts[tile.row], axes[2].starts[tile.column]
        return self._sums[:, :, row : row + patch[1], column : column + patch[2]]

    def _on_their_device(self, answers: torch.Tensor) -> torch.Tensor:
        """Return a tile's answers as a volume, where the sums are."""
        return answers.reshape(answers.shape[0], *self._shape.patch).to(self._sums.device)

    def _logits(self, first: int, stop: int) -> Float32[np.ndarray, "classes planes rows columns"]:
        """Return the logits of some held planes, in memory of their own.

        Raises:
            CaseError: If one is NaN or infinite.
        """
        found: list[torch.Tensor] = []

        def collect() -> None:
            scores = self._ensemble.scores(self._means(first, stop)[None])[0]
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

    def _means(self, first: int, stop: int) -> torch.Tensor:
        """Return the weighted mean of some planes; may be a view."""
        return self._sums[:, first:stop]

    def _let_go(self, count: int) -> None:
        """Move all but the first planes to the front, a few at a time, and clear those behind."""
        kept = self._shape.patch[0] - count
        for first in range(0, kept, count):
            stop = min(first + count, kept)
            self._sums[:, first:stop] = self._sums[:, first + count : stop + count]
        self._sums[:, kept:] = 0

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do something; if the accelerator's memory runs out, leave it and do it again."""
        try:
            action()
        except RuntimeError as error:
            if not is_out_of_memory(error) or not self.leave_device():
                raise
            action()


class HalfPrecisionPlanes(HeldPlanes):
    """Blends tiles as nnU-Net does, rounding included, for models that it trained.

    The last channel holds the sum of the weights, by which the others are divided at the end.
    Where weights are tiny, as in the corners of an image, half precision rounds scores coarsely;
    exact blending then puts two voxels of a thousand into other classes where tiles disagree.
    """

    def __init__(self, ensemble: Ensemble, shape: HeldShape, progress: Progress) -> None:
        super().__init__(ensemble, shape, progress)
        self._map = torch.from_numpy(nnunet_weights(shape.patch)).to(self._sums.device)

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
    def _add(self, tile: Tile, answers: torch.Tensor) -> None:
        touched = self._touched(tile)
        weighted = self._on_their_device(answers) * self._map
        touched[:-1] += weighted
        touched[-1] += self._map

    @override
    def _means(self, first: int, stop: int) -> torch.Tensor:
        planes = self._sums[:, first:stop]
        return (planes[:-1] / planes[-1:]).float()


def _zeros(size: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return zeros on a device, or in main memory if the device has no room for them after all."""
    try:
        return torch.zeros(size, dtype=dtype, device=device)
    except RuntimeError as error:
        if not is_out_of_memory(error) or device.type == "cpu":
            raise
    _release(device)
    return torch.zeros(size, dtype=dtype)


def _buffer_device(device: torch.device, num_bytes: int) -> torch.device:
    """Return the accelerator if the held planes fit it beside the networks, otherwise the CPU."""
    if device.type == "cuda" and num_bytes < DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu")


def _release(device: torch.device) -> None:
    """Give memory that torch keeps for later back to the accelerator."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
