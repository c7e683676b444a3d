"""Cut the tiles of a sliding window out of a volume."""

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
    """One position of the window: for each axis, which of its tiles it is."""

    plane: int
    row: int
    column: int


class Window:
    """Cuts tiles out of a padded volume and its cascade input, ordered by their first plane."""

    def __init__(
        self,
        volume: Float32[np.ndarray, "channels planes rows columns"],
        cascade_input: CascadeInput | None,
        shape: tuple[int, ...],
        axes: tuple[AxisTiles, ...],
        *,
        is_flat: bool,
    ) -> None:
        """Remember what to cut.

        Args:
            volume: The framed image.
            cascade_input: What a previous stage predicted, framed alike; None without one.
            shape: Size of a tile as its network sees it, voxels.
            axes: The tiles along each axis.
            is_flat: Whether the network's patch has two axes.
        """
        self._voxels = torch.from_numpy(np.ascontiguousarray(volume))
        self._prior = cascade_input
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
