"""Sum weighted tile outputs where tiles still overlap.

Tiles arrive plane by plane, and row by row within a plane. The volume is divided into strips of
rows. Only the strips that the current row of tiles overlaps are held at the full height of a patch;
of all other strips, only the lower planes are held, which the next tiles overlap again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from typing_extensions import override

from autoseg.inference.tiling import AxisTiles, Tile, nnunet_weights

DEVICE_SHARE = 0.4
"""Fraction of the accelerator's free memory that the sums may take. Larger sums are kept in main
memory, so that the networks have the larger part of the device."""

STRIP_BYTES = 256 * 2**20
"""A volume whose sums over all rows, at the height of a patch, fit into this many bytes is a single
strip: whole planes need fewer slabs."""


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


class TileSums:
    """Weighted sums of tile outputs, on the accelerator if they fit next to the networks.

    Every method that can run out of memory allocates all memory before it changes a sum, so that it
    can be called again.

    Attributes:
        device: Device of the sums.
        strips: First row of each strip, and one past its last row.
        by_strip: Sums by strip: channels, planes, rows, columns.
    """

    def __init__(
        self,
        shape: AccumulatorShape,
        num_channels: int,
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Start with empty sums.

        Args:
            shape: The volume and its tiles.
            num_channels: Number of channels of the sums.
            device: Device of the networks.
            dtype: Data type of the sums.
        """
        self._shape = shape
        self._num_channels = num_channels
        self._dtype = dtype
        voxel_bytes = num_channels * dtype.itemsize
        self.strips = shape.strips(voxel_bytes)
        self.by_strip: dict[int, torch.Tensor] = {}
        self.device = buffer_device(device, voxel_bytes * shape.max_voxels(self.strips))
        self._weights = [torch.from_numpy(axis.weights).to(self.device) for axis in shape.axes]

    def move_to_host(self) -> None:
        """Move the sums to main memory."""
        self.device = torch.device("cpu")
        self.by_strip = {strip: sums.cpu() for strip, sums in self.by_strip.items()}
        self._weights = [weights.cpu() for weights in self._weights]

    def add(self, tile: Tile, outputs: torch.Tensor) -> None:
        """Add a tile's outputs, `channels *patch`; a 2-D patch is one plane."""
        volume = outputs.reshape(len(outputs), *self._shape.patch).to(self.device)
        weighted, weights = self._weighted(tile, volume)
        row = self._shape.axes[1].starts[tile.row]
        overlaps = [
            (self._strip_view(strip, tile, first, stop), slice(first - row, stop - row))
            for strip, (low, high) in enumerate(self.strips)
            if (first := max(low, row)) < (stop := min(high, row + self._shape.patch[1]))
        ]
        for sums, rows in overlaps:
            self._add_weighted(sums, weighted[:, :, rows], weights[:, rows])

    def means(self, strip: int, first: int, stop: int) -> torch.Tensor:
        """Return the weighted means of some planes of a strip; may be a view of the sums.

        Args:
            strip: Index of the strip.
            first: First of its held planes.
            stop: One past the last plane.
        """
        return self.by_strip[strip][:, first:stop]

    def drop_planes(self, strip: int, count: int) -> None:
        """Discard the first `count` planes of a strip."""
        if count == self._shape.patch[0]:
            del self.by_strip[strip]
        else:
            self.by_strip[strip] = self.by_strip[strip][:, count:].clone()

    def at_full_height(self, strip: int) -> torch.Tensor:
        """Return the sums of a strip, extended with zeros to the height of a patch."""
        sums = self.by_strip.get(strip)
        if sums is None or sums.shape[1] < self._shape.patch[0]:
            low, high = self.strips[strip]
            size = (self._shape.patch[0], high - low, self._shape.padded[2])
            whole = torch.zeros((self._num_channels, *size), dtype=self._dtype, device=self.device)
            if sums is not None:
                whole[:, : sums.shape[1]] = sums
            self.by_strip[strip] = whole
        return self.by_strip[strip]

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
        low, _ = self.strips[strip]
        sums = self.at_full_height(strip)
        return sums[:, :, first - low : stop - low, column : column + self._shape.patch[2]]


class HalfPrecisionSums(TileSums):
    """Sums tiles in half precision as nnU-Net does, for models that nnU-Net trained.

    The last channel holds the sum of the weights; the other channels are divided by it at the end.
    Where weights are tiny, as in the corners of an image, half precision rounds logits coarsely.
    Exact blending would therefore classify about 2 of 1000 voxels differently where tiles disagree.

    Args:
        shape: The volume and its tiles.
        num_channels: Number of channels of the tile outputs.
        device: Device of the networks.
    """

    def __init__(self, shape: AccumulatorShape, num_channels: int, device: torch.device) -> None:
        super().__init__(shape, num_channels + 1, device, torch.float16)
        self._weight_map = torch.from_numpy(nnunet_weights(shape.patch)).to(self.device)

    @override
    def move_to_host(self) -> None:
        super().move_to_host()
        self._weight_map = self._weight_map.cpu()

    @override
    def means(self, strip: int, first: int, stop: int) -> torch.Tensor:
        sums = super().means(strip, first, stop)
        return (sums[:-1] / sums[-1:]).float()

    @override
    def _weighted(self, tile: Tile, outputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return outputs * self._weight_map, self._weight_map

    @override
    def _add_weighted(
        self, sums: torch.Tensor, outputs: torch.Tensor, weights: torch.Tensor
    ) -> None:
        sums[:-1] += outputs
        sums[-1] += weights


def buffer_device(device: torch.device, num_bytes: int) -> torch.device:
    """Return the accelerator if the sums fit next to the networks, otherwise the CPU."""
    if device.type == "cuda" and num_bytes < DEVICE_SHARE * _free_bytes(device):
        return device
    return torch.device("cpu")


def _free_bytes(device: torch.device) -> int:
    """Return the free memory of a GPU, including memory that torch's allocator only caches."""
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + cached
