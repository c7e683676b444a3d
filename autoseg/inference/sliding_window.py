"""Predict a whole image tile by tile; memory does not depend on the length of its first axis.

Tiles are processed in the order of their first plane, then row. Only the part of the volume that
later tiles overlap is in memory. All other planes and rows are yielded as finished slabs.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from math import prod

import torch

from autoseg.core.case import PreparedImage
from autoseg.core.device import is_out_of_memory
from autoseg.core.errors import CaseError, first_line
from autoseg.core.formatting import format_shape
from autoseg.core.progress import Progress, Silent
from autoseg.core.tensors import ImageBatch
from autoseg.inference.blending import LogitsAccumulator, LogitsSlab
from autoseg.inference.ensemble import Ensemble, Outputs
from autoseg.inference.tile_sums import AccumulatorShape
from autoseg.inference.tiling import Padding, Tile, Window, axis_tiles

MAX_OUTPUT_BYTES = 128 * 2**20
"""Maximum size of the outputs of a batch of tiles on the CPU, where large batches save no time."""


def predict_slabs(
    ensemble: Ensemble,
    image: PreparedImage,
    *,
    tiles_per_batch: int,
    progress: Progress | None = None,
) -> Iterator[LogitsSlab]:
    """Yield the logits of an image as slabs, from the first planes to the last.

    Large volumes are divided into strips of rows. A range of planes is yielded for all strips
    before the next range of planes.

    An image smaller than the patch is padded with zeros on both sides. A network with a 2-D patch
    predicts each plane of a 3-D image separately. For a network with a margin, the image is padded
    by mirroring. A cascade input is converted to input channels tile by tile.

    Args:
        ensemble: The networks.
        image: The prepared image.
        tiles_per_batch: Tiles per batch; halved with a warning if the device runs out of memory.
        progress: Receives warnings and the current position.

    Raises:
        CaseError: If a single tile does not fit into the device's memory, or if logits are NaN or
            infinite.
    """
    is_flat = len(ensemble.patch_shape) == 2
    patch = (1, *ensemble.patch_shape) if is_flat else ensemble.patch_shape
    size = image.voxels.shape[1:]
    padding = Padding.around((*(1,) * (3 - len(size)), *size), patch, ensemble.margin)
    axes = tuple(
        axis_tiles(size, length, step=ensemble.step)
        for size, length in zip(padding.shape, patch, strict=True)
    )
    progress = progress or Silent()
    shape = AccumulatorShape(padding.shape, patch, axes)
    accumulator = LogitsAccumulator(ensemble, shape, progress)
    window = Window(
        image.voxels,
        padding,
        padding.apply_to_cascade_input(image.cascade_input),
        padding.with_margin(patch),
        axes,
        is_flat=is_flat,
    )
    predictor = _TilePredictor(ensemble, window, accumulator, progress)
    tiles = predictor.outputs(min(tiles_per_batch, _max_tiles(ensemble)))
    slabs = (slab for tile, outputs in tiles for slab in accumulator.add(tile, outputs))
    planes, rows, columns = padding.box
    for slab in chain(slabs, accumulator.finished()):
        part = slab.within((planes.start, planes.stop), (rows.start, rows.stop))
        if part is not None:
            inside = part.logits[..., columns]
            yield LogitsSlab(part.start - planes.start, inside, part.row - rows.start)


@dataclass(frozen=True)
class _TilePredictor:
    """Runs the networks on batches of tiles; reduces the batch size if memory runs out."""

    ensemble: Ensemble
    window: Window
    accumulator: LogitsAccumulator
    progress: Progress

    def outputs(self, tiles_per_batch: int) -> Iterator[tuple[Tile, torch.Tensor]]:
        """Yield each tile with its outputs, in order.

        Raises:
            CaseError: If a single tile does not fit into the device's memory.
        """
        tiles = self.window.tiles
        done = 0
        while done < len(tiles):
            batch = tiles[done : done + tiles_per_batch]
            outputs = _outputs_or_error(self.ensemble, self.window.cut(batch))
            if isinstance(outputs, RuntimeError):
                tiles_per_batch = self._reduced_batch(len(batch), outputs)
                continue
            yield from zip(batch, outputs, strict=True)
            done += len(batch)
            self.progress.status(f"tile {done} of {len(tiles)}")

    def _reduced_batch(self, count: int, error: RuntimeError) -> int:
        """Return a smaller number of tiles per batch after an out-of-memory error, with a warning.

        The number is halved down to 1. Then the sums are moved to main memory. A CaseError is
        raised if no reduction is left.
        """
        device = self.ensemble.device
        if count > 1:
            half = count // 2
            self.progress.say(
                f"warning: {device} ran out of memory with {count} tiles per batch; continuing "
                f"with {half}."
            )
            return half
        if self.accumulator.offload_to_host():
            return 1
        patch = format_shape(self.ensemble.patch_shape)
        msg = (
            f"{device} has too little free memory for a single patch of {patch} voxels "
            f"({first_line(error)}). Free memory on it, or predict with --device cpu."
        )
        raise CaseError(msg) from error


def _max_tiles(ensemble: Ensemble) -> int:
    """Return the maximum number of tiles per batch; limited only on the CPU."""
    if ensemble.device.type != "cpu":
        return sys.maxsize
    return max(1, MAX_OUTPUT_BYTES // (4 * ensemble.num_channels * prod(ensemble.patch_shape)))


def _outputs_or_error(ensemble: Ensemble, tiles: ImageBatch) -> Outputs | RuntimeError:
    """Return the networks' outputs, or the out-of-memory error; other errors are raised.

    The returned error has no traceback: its frames would keep the tensors alive that fill the
    memory.
    """
    try:
        return ensemble.mean_outputs(tiles)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        out_of_memory = error.with_traceback(None)
    torch.cuda.empty_cache()
    return out_of_memory
