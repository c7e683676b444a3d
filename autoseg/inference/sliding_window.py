"""Predict a whole image tile by tile, in memory that does not grow with the image's first axis.

Tiles are worked through in the order of their first plane, then row. Only what tiles can still
touch is held; as soon as no later tile reaches some rows of some planes, they leave as a slab.
"""

import sys
from collections.abc import Iterator
from math import prod

import numpy as np
import torch
from jaxtyping import Float32

from autoseg.core.arrays import ImageArray
from autoseg.core.case import PreparedImage
from autoseg.core.device import is_out_of_memory
from autoseg.core.errors import CaseError, first_line
from autoseg.core.progress import Progress, Silent
from autoseg.core.tensors import ImageBatch
from autoseg.inference.blending import (
    AccumulatorShape,
    HalfPrecisionAccumulator,
    LogitsAccumulator,
    LogitsSlab,
)
from autoseg.inference.ensemble import Ensemble, Outputs
from autoseg.inference.padding import Padding
from autoseg.inference.tiling import STEP, axis_tiles
from autoseg.inference.window import Tile, Window

__all__ = ["LogitsSlab", "predict_slabs"]

LARGEST_ANSWER_BYTES = 128 * 2**20
"""Without an accelerator, what networks say to a batch of tiles is kept below this: there it saves
no time to ask about many large ones at once."""


def predict_slabs(
    ensemble: Ensemble,
    image: PreparedImage,
    *,
    tiles_per_batch: int,
    step: float = STEP,
    progress: Progress | None = None,
) -> Iterator[LogitsSlab]:
    """Yield the logits of an image as slabs, from the first planes to the last.

    Large volumes come strip by strip of rows, each of the same rows throughout: first some planes
    of the first strip, as many of the next one, and so on, before there are further planes.

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
    padding = Padding.around(tuple(volume.shape[1:]), patch, ensemble.margin)
    axes = tuple(
        axis_tiles(size, length, step=step)
        for size, length in zip(padding.shape, patch, strict=True)
    )
    shown = progress or Silent()
    held = HalfPrecisionAccumulator if ensemble.blending == "nnunet" else LogitsAccumulator
    sums = held(ensemble, AccumulatorShape(padding.shape, patch, axes), shown)
    window = Window(
        padding.applied(volume),
        padding.applied_to_cascade_input(image.cascade_input),
        padding.with_margin(patch),
        axes,
        is_flat=len(ensemble.patch_shape) == 2,
    )
    tiles = _Tiles(ensemble, window, sums, shown)
    for tile, outputs in tiles.outputs(min(tiles_per_batch, _most_tiles(ensemble))):
        for slab in sums.add(tile, outputs):
            yield from _inside(slab, padding.box)
    for slab in sums.finished():
        yield from _inside(slab, padding.box)


class _Tiles:
    """Sends tiles through the networks, fewer together when memory runs out."""

    def __init__(
        self, ensemble: Ensemble, window: Window, sums: LogitsAccumulator, progress: Progress
    ) -> None:
        self._ensemble = ensemble
        self._window = window
        self._sums = sums
        self._progress = progress

    def outputs(self, tiles_per_batch: int) -> Iterator[tuple[Tile, torch.Tensor]]:
        """Yield each tile with what the networks say, in order.

        Raises:
            CaseError: If not even one tile fits the device.
        """
        tiles = self._window.tiles
        done = 0
        while done < len(tiles):
            batch = tiles[done : done + tiles_per_batch]
            outputs = _outputs_or_error(self._ensemble, self._window.cut(batch))
            if isinstance(outputs, RuntimeError):
                tiles_per_batch = self._fewer(len(batch), outputs)
                continue
            yield from zip(batch, outputs, strict=True)
            done += len(batch)
            self._progress.status(f"tile {done} of {len(tiles)}")

    def _fewer(self, count: int, lack: RuntimeError) -> int:
        """Return how many tiles to try after so many were too many, after saying so.

        First fewer of them, then one with the sums in main memory.

        Args:
            count: Of the tiles that were too many.
            lack: What torch said.

        Raises:
            CaseError: If that was tried.
        """
        device = self._ensemble.device
        if count > 1:
            half = count // 2
            self._progress.say(
                f"warning: {device} ran out of memory with {count} tiles at once; going on with "
                f"{half}."
            )
            return half
        if self._sums.leave_device():
            return 1
        patch = " × ".join(str(length) for length in self._ensemble.patch_shape)
        msg = (
            f"{device} has too little free memory for a single patch of {patch} voxels "
            f"({first_line(lack)}). Free some of it, or predict with --device cpu."
        )
        raise CaseError(msg) from lack


def _most_tiles(ensemble: Ensemble) -> int:
    """Return how many tiles may go through the networks together; CUDA says itself if too many."""
    if ensemble.device.type != "cpu":
        return sys.maxsize
    return max(1, LARGEST_ANSWER_BYTES // (4 * ensemble.num_channels * prod(ensemble.patch_shape)))


def _outputs_or_error(ensemble: Ensemble, tiles: ImageBatch) -> Outputs | RuntimeError:
    """Return the networks' outputs, or what torch says if memory ran out; other errors pass.

    It comes without its frames, which would hold what fills the memory.
    """
    try:
        return ensemble.mean_outputs(tiles)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        lack = error.with_traceback(None)
    if ensemble.device.type == "cuda":
        torch.cuda.empty_cache()
    return lack


def _inside(slab: LogitsSlab, box: tuple[slice, ...]) -> Iterator[LogitsSlab]:
    """Yield the part of a slab that lies inside the unpadded volume, if any."""
    planes, rows, columns = box
    part = slab.within((planes.start, planes.stop), (rows.start, rows.stop))
    if part is not None:
        inside = part.logits[..., columns]
        yield LogitsSlab(part.start - planes.start, inside, part.row - rows.start)


def _as_volume(voxels: ImageArray) -> Float32[np.ndarray, "channels planes rows columns"]:
    """Return a 2-D image as a volume of one plane, and a 3-D one as it is."""
    return voxels[:, None] if voxels.ndim == 3 else voxels


def _as_volume_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1, *shape) if len(shape) == 2 else shape
