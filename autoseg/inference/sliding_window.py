"""Predict a whole image tile by tile, in memory that does not grow with the image's first axis.

Tiles are worked through in the order of their first plane. Only the planes that the current tiles
touch are held; as soon as no later tile can reach the leading ones, they leave as a slab.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32
from typing_extensions import override

from autoseg.core.arrays import ImageArray
from autoseg.core.case import PreparedImage, Prior
from autoseg.core.device import is_out_of_memory
from autoseg.core.errors import CaseError
from autoseg.core.progress import Progress, Silent
from autoseg.core.tensors import ImageBatch, ScoredLogits
from autoseg.inference.ensemble import Ensemble
from autoseg.inference.framing import Frame
from autoseg.inference.tiling import STEP, AxisTiles, axis_tiles, nnunet_weights

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


class Tile(NamedTuple):
    """One position of the window: for each axis, which of its tiles it is."""

    plane: int
    row: int
    column: int


def predict_slabs(
    ensemble: Ensemble,
    image: PreparedImage,
    *,
    tiles_per_batch: int,
    step: float = STEP,
    progress: Progress | None = None,
) -> Iterator[LogitsSlab]:
    """Yield the logits of an image as slabs of planes, from the first plane to the last.

    An image smaller than the patch is padded with zeros on both sides. A network with a 2-D patch
    predicts every plane of a 3-D image by itself. One with a margin sees the image mirrored beyond
    its border. What a previous stage predicted becomes input channels tile by tile.

    Args:
        ensemble: The networks.
        image: What they look at.
        tiles_per_batch: How many tiles go through a network together; halved, and said so, when
            the device runs out of memory.
        step: Largest distance between tiles, as a fraction of the patch.
        progress: Where warnings and the position go.

    Raises:
        CaseError: If not even one tile fits the device, or if logits are NaN or infinite.
    """
    patch = _as_volume_shape(ensemble.patch_shape)
    volume = _as_volume(image.voxels)
    frame = Frame.around(tuple(volume.shape[1:]), patch, ensemble.margin)
    axes = tuple(
        axis_tiles(size, length, step=step) for size, length in zip(frame.shape, patch, strict=True)
    )
    held = _HalfPrecisionPlanes if ensemble.blending == "nnunet" else _HeldPlanes
    planes = held(ensemble, frame.shape, patch, axes)
    window = _Window(
        frame.applied(volume),
        frame.applied_to_prior(image.prior),
        frame.with_margin(patch),
        axes,
        is_flat=len(ensemble.patch_shape) == 2,
    )
    for tile, logits in _tile_logits(
        ensemble, window, tiles_per_batch=tiles_per_batch, progress=progress or Silent()
    ):
        for slab in planes.advance(window.origin(tile)[0]):
            yield from _inside(slab, frame.box)
        planes.add(tile, logits)
    for slab in planes.advance(frame.shape[0]):
        yield from _inside(slab, frame.box)


class _Window:
    """Cuts tiles out of a framed volume and its prior, in the order of their first plane."""

    def __init__(
        self,
        volume: Float32[np.ndarray, "channels planes rows columns"],
        prior: Prior | None,
        shape: tuple[int, ...],
        axes: tuple[AxisTiles, ...],
        *,
        is_flat: bool,
    ) -> None:
        self._voxels = torch.from_numpy(np.ascontiguousarray(volume))
        self._prior = prior
        self._shape = shape
        self._axes = axes
        self._is_flat = is_flat
        self.tiles = [Tile(*t) for t in product(*(range(len(axis.starts)) for axis in axes))]

    def origin(self, tile: Tile) -> tuple[int, ...]:
        """Return the first voxel of a tile."""
        return tuple(axis.starts[index] for axis, index in zip(self._axes, tile, strict=True))

    def cut(self, tiles: Sequence[Tile]) -> ImageBatch:
        """Return tiles as a batch, with as many axes as the network's patch."""
        return torch.stack([self._cut_one(tile) for tile in tiles])

    def _cut_one(self, tile: Tile) -> torch.Tensor:
        z, y, x = (
            slice(start, start + length)
            for start, length in zip(self.origin(tile), self._shape, strict=True)
        )
        voxels = self._voxels[:, z, y, x]
        if self._prior is not None:
            tiled = replace(self._prior, classes=self._prior.classes[z, y, x])
            voxels = torch.cat([voxels, torch.from_numpy(tiled.one_hot())])
        return voxels[:, 0] if self._is_flat else voxels


class _HeldPlanes:
    """The weighted logits of the planes that tiles can still touch."""

    def __init__(
        self,
        ensemble: Ensemble,
        shape: tuple[int, ...],
        patch: tuple[int, ...],
        axes: tuple[AxisTiles, ...],
    ) -> None:
        size = (ensemble.num_classes, patch[0], *shape[1:])
        device = _buffer_device(ensemble.device, 4 * int(np.prod(size)))
        self._sums = torch.zeros(size, dtype=torch.float32, device=device)
        self._axes = axes
        self._patch = patch
        self._weights = [torch.from_numpy(axis.weights).to(device) for axis in axes]
        self._start = 0

    def add(self, tile: Tile, logits: torch.Tensor) -> None:
        """Add a tile's logits, weighted; all of its planes must be held.

        Args:
            tile: Where it is.
            logits: `classes *patch`; a 2-D patch is one plane.
        """
        along = [weights[index] for weights, index in zip(self._weights, tile, strict=True)]
        weights = along[0][:, None, None] * (along[1][:, None] * along[2])
        row, column = self._axes[1].starts[tile.row], self._axes[2].starts[tile.column]
        rows, columns = slice(row, row + self._patch[1]), slice(column, column + self._patch[2])
        volume = logits.reshape(logits.shape[0], *self._patch).to(self._sums.device)
        self._sums[:, :, rows, columns].addcmul_(volume, weights)

    def advance(self, start: int) -> Iterator[LogitsSlab]:
        """Yield the planes before `start`, now finished, and hold those from it on."""
        count = min(start - self._start, self._patch[0])
        if count == 0:
            return
        plane_bytes = 4 * self._sums[:, 0].numel()
        step = max(1, SLAB_BYTES // plane_bytes)
        for first in range(0, count, step):
            yield self._slab(first, min(first + step, count))
        kept = self._sums[:, count:].clone()
        self._sums[:, : kept.shape[1]] = kept
        self._sums[:, kept.shape[1] :] = 0
        self._start = start

    def _slab(self, first: int, stop: int) -> LogitsSlab:
        """Return a copy of some held planes.

        Raises:
            CaseError: If a logit is NaN or infinite.
        """
        finished = self._means(first, stop).cpu()
        if not bool(torch.isfinite(finished).all()):
            msg = (
                "the network's output holds NaN or infinite values. Predict with "
                "--precision float32; if that does not help, the image or the weights are damaged."
            )
            raise CaseError(msg)
        return LogitsSlab(start=self._start + first, logits=finished.numpy())

    def _means(self, first: int, stop: int) -> torch.Tensor:
        """Return the weighted mean of some planes, as a copy."""
        return self._sums[:, first:stop].clone()


class _HalfPrecisionPlanes(_HeldPlanes):
    """Blends tiles as nnU-Net does, rounding included, for models that it trained.

    The last channel holds the sum of the weights, by which the others are divided at the end.
    Where weights are tiny, as in the corners of an image, half precision rounds scores coarsely;
    exact blending then puts two voxels of a thousand into other classes where tiles disagree.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        shape: tuple[int, ...],
        patch: tuple[int, ...],
        axes: tuple[AxisTiles, ...],
    ) -> None:
        super().__init__(ensemble, shape, patch, axes)
        num_channels, *planes = self._sums.shape
        self._sums = self._sums.new_zeros((num_channels + 1, *planes), dtype=torch.float16)
        self._map = torch.from_numpy(nnunet_weights(patch)).to(self._sums.device)

    @override
    def add(self, tile: Tile, logits: torch.Tensor) -> None:
        row, column = self._axes[1].starts[tile.row], self._axes[2].starts[tile.column]
        rows, columns = slice(row, row + self._patch[1]), slice(column, column + self._patch[2])
        volume = logits.reshape(logits.shape[0], *self._patch).to(self._sums.device)
        self._sums[:-1, :, rows, columns] += volume * self._map
        self._sums[-1, :, rows, columns] += self._map

    @override
    def _means(self, first: int, stop: int) -> torch.Tensor:
        planes = self._sums[:, first:stop]
        return (planes[:-1] / planes[-1:]).float()


def _tile_logits(
    ensemble: Ensemble, window: _Window, *, tiles_per_batch: int, progress: Progress
) -> Iterator[tuple[Tile, torch.Tensor]]:
    """Yield each tile with its logits, in order."""
    done = 0
    while done < len(window.tiles):
        batch = window.tiles[done : done + tiles_per_batch]
        logits = _logits_or_none(ensemble, window.cut(batch))
        if logits is None:
            tiles_per_batch = _smaller_batch(ensemble, len(batch), progress)
            continue
        yield from zip(batch, logits, strict=True)
        done += len(batch)
        progress.status(f"tile {done} of {len(window.tiles)}")


def _logits_or_none(ensemble: Ensemble, tiles: ImageBatch) -> ScoredLogits | None:
    """Return the logits, or None if the device ran out of memory; other errors pass."""
    try:
        return ensemble.mean_logits(tiles)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    if ensemble.device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def _smaller_batch(ensemble: Ensemble, size: int, progress: Progress) -> int:
    """Return half the batch size after saying so.

    Raises:
        CaseError: If it was one tile already.
    """
    if size == 1:
        patch = " × ".join(str(length) for length in ensemble.patch_shape)
        msg = (
            f"{ensemble.device} has too little free memory for a single patch of {patch} voxels. "
            "Free some of it, or predict with --device cpu."
        )
        raise CaseError(msg)
    half = size // 2
    progress.say(
        f"{ensemble.device} ran out of memory with {size} tiles at once; going on with {half}."
    )
    return half


def _buffer_device(device: torch.device, num_bytes: int) -> torch.device:
    """Return the accelerator if the held planes fit it beside the networks, otherwise the CPU."""
    if device.type == "cuda" and num_bytes < DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return device
    return torch.device("cpu")


def _inside(slab: LogitsSlab, box: tuple[slice, ...]) -> Iterator[LogitsSlab]:
    """Yield the part of a slab that lies inside the unpadded volume, if any."""
    first, stop = max(slab.start, box[0].start), min(slab.stop, box[0].stop)
    if first < stop:
        planes = slice(first - slab.start, stop - slab.start)
        inside = slab.logits[:, planes, box[1], box[2]]
        yield LogitsSlab(start=first - box[0].start, logits=inside)


def _as_volume(voxels: ImageArray) -> Float32[np.ndarray, "channels planes rows columns"]:
    """Return a 2-D image as a volume of one plane, and a 3-D one as it is."""
    return voxels[:, None] if voxels.ndim == 3 else voxels


def _as_volume_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1, *shape) if len(shape) == 2 else shape
