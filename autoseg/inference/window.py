"""Cut the tiles of a sliding window from a volume."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32

from autoseg.core.case import CascadeInput
from autoseg.core.tensors import ImageBatch
from autoseg.inference.tiling import AxisTiles


class Tile(NamedTuple):
    """Position of a tile: its index along each axis."""

    plane: int
    row: int
    column: int


class Window:
    """Cuts tiles from a padded volume and its cascade input.

    Attributes:
        tiles: All tiles, sorted by plane, row and column.
    """

    def __init__(
        self,
        volume: Float32[np.ndarray, "channels planes rows columns"],
        cascade_input: CascadeInput | None,
        shape: tuple[int, ...],
        axes: tuple[AxisTiles, ...],
        *,
        is_flat: bool,
    ) -> None:
        """Store the volume and list its tiles.

        Args:
            volume: The padded image.
            cascade_input: Cascade input with the same padding; None if there is none.
            shape: Size of a tile including the network's margin, voxels.
            axes: The tiles along each axis.
            is_flat: Whether the network's patch has two axes.
        """
        self._voxels = torch.from_numpy(np.ascontiguousarray(volume))
        self._cascade_input = cascade_input
        self._shape = shape
        self._axes = axes
        self._is_flat = is_flat
        self.tiles = [Tile(*t) for t in product(*(range(len(axis.starts)) for axis in axes))]

    def origin(self, tile: Tile) -> tuple[int, ...]:
        """Return the position of a tile's first voxel in the padded volume."""
        return tuple(axis.starts[index] for axis, index in zip(self._axes, tile, strict=True))

    def cut(self, tiles: Sequence[Tile]) -> ImageBatch:
        """Cut tiles and stack them to a batch with as many axes as the network's patch."""
        return torch.stack([self._cut_one(tile) for tile in tiles])

    def _cut_one(self, tile: Tile) -> torch.Tensor:
        z, y, x = (
            slice(start, start + length)
            for start, length in zip(self.origin(tile), self._shape, strict=True)
        )
        voxels = self._voxels[:, z, y, x]
        if self._cascade_input is not None:
            classes = self._cascade_input.classes[z, y, x]
            tile_input = replace(self._cascade_input, classes=classes)
            voxels = torch.cat([voxels, torch.from_numpy(tile_input.one_hot())])
        return voxels[:, 0] if self._is_flat else voxels
