"""Tiles of a sliding window: padding of the volume, positions, weights, and cutting.

The tiles of a volume are all combinations of one start per axis, and their Gaussian weight is a
product of one curve per axis. `axis_tiles` therefore handles one axis at a time: it computes the
starts, and for each start a curve that is normalised by the sum over all tiles. The weights of all
tiles sum to one at every voxel, so prediction does not have to accumulate the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float16, Float32, Float64, Shaped

from autoseg.core.arrays import VoxelSource
from autoseg.core.case import CascadeInput
from autoseg.core.tensors import ImageBatch

Volume = Shaped[np.ndarray, "*size"]
PaddedVolume = Shaped[np.ndarray, "*padded"]

STEP = 0.5
"""Distance between tiles, as a fraction of the patch. Source: nnU-Net (Isensee et al. 2021)."""

GAUSSIAN_SIGMA = 1 / 8
"""Standard deviation of the importance curve, as a fraction of the patch. Source: nnU-Net."""

NNUNET_PEAK = 10.0
"""Largest weight in nnU-Net's blending. Source: nnU-Net 2.8.1."""


@dataclass(frozen=True)
class AxisTiles:
    """The tiles along one axis.

    Attributes:
        starts: First voxel of each tile, ascending.
        weights: Weight of each voxel of each tile; the weights of all tiles sum to one at every
            voxel.
    """

    starts: tuple[int, ...]
    weights: Float32[np.ndarray, "tiles patch"]


def tile_starts(size: int, patch: int, *, step: float = STEP) -> tuple[int, ...]:
    """Compute the first voxel of every tile along an axis: evenly spaced, covering all voxels.

    Args:
        size: Length of the axis, voxels; at least `patch`.
        patch: Length of a tile, voxels.
        step: Largest distance between two tiles, as a fraction of the patch; 0 < step <= 1.

    Raises:
        ValueError: If the axis is shorter than a tile.
    """
    if size < patch:
        msg = f"an axis of {size} voxels is shorter than a tile of {patch}; pad it first."
        raise ValueError(msg)
    steps = ceil((size - patch) / max(1.0, patch * step))
    return tuple(round(index * (size - patch) / max(1, steps)) for index in range(steps + 1))


def importance_curve(patch: int) -> Float32[np.ndarray, " patch"]:
    """Return the weight of each voxel of a tile along one axis: a Gaussian with a peak of 1.

    Voxels near the border of a tile are predicted with half of their context missing. The curve is
    symmetric and nowhere zero: at its ends, at four sigma, it is e⁻⁸.

    Source: nnU-Net (Isensee et al. 2021), sigma = patch / 8.
    """
    return _gaussian(patch, (patch - 1) / 2).astype(np.float32)


def _gaussian(size: int, centre: float | int) -> Float64[np.ndarray, " size"]:
    offsets = np.arange(size) - centre
    return np.asarray(np.exp(-0.5 * (offsets / (size * GAUSSIAN_SIGMA)) ** 2))


def axis_tiles(size: int, patch: int, *, step: float = STEP) -> AxisTiles:
    """Compute the tiles along an axis, with weights that sum to one at every voxel.

    Args:
        size: Length of the axis, voxels; at least `patch`.
        patch: Length of a tile, voxels.
        step: Largest distance between two tiles, as a fraction of the patch; 0 < step <= 1.
    """
    starts = tile_starts(size, patch, step=step)
    curve = importance_curve(patch).astype(np.float64)
    total = np.zeros(size)
    for start in starts:
        total[start : start + patch] += curve
    weights = np.stack([curve / total[start : start + patch] for start in starts])
    return AxisTiles(starts=starts, weights=weights.astype(np.float32))


def nnunet_weights(patch: tuple[int, ...]) -> Float16[np.ndarray, "*patch"]:
    """Return the tile weights for models that nnU-Net trained.

    Unlike `importance_curve`, the peak is half a voxel after the middle of an even axis, and half
    precision raises the corners: weights that round to 0 are set to the smallest positive weight.

    Source: nnU-Net 2.8.1.
    """
    weights = np.array(NNUNET_PEAK)
    for size in patch:
        weights = weights[..., None] * _gaussian(size, size // 2)
    halved = weights.astype(np.float16)
    halved[halved == 0] = halved[halved > 0].min()
    return halved


@dataclass(frozen=True)
class Padding:
    """Padding of a volume to at least the patch size plus the margin of a network.

    Without a margin, the padding is zero. For networks with a margin, whose output is smaller than
    their input, the volume is mirrored on all sides.

    Attributes:
        size: Size of the volume, voxels.
        before: Voxels added before the first voxel of each axis that is shorter than the patch.
        after: Voxels added after the last voxel; one more than `before` for an odd number.
        margin: Additional voxels per axis and side.
    """

    size: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    margin: tuple[int, ...]

    @classmethod
    def around(
        cls, size: tuple[int, ...], patch: tuple[int, ...], margin: tuple[int, ...] = ()
    ) -> "Padding":
        """Compute the padding of a volume.

        Args:
            size: Size of the volume, voxels.
            patch: Patch size of the network, with as many axes, voxels.
            margin: Margin of the network, voxels; may have fewer axes, the leading ones are then 0.
        """
        missing = [max(0, length - edge) for edge, length in zip(size, patch, strict=True)]
        before = tuple(count // 2 for count in missing)
        return cls(
            size=size,
            before=before,
            after=tuple(count - front for count, front in zip(missing, before, strict=True)),
            margin=(0,) * (len(size) - len(margin)) + margin,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Size of the padded volume without the margin, voxels; at least the patch size."""
        triples = zip(self.before, self.size, self.after, strict=True)
        return tuple(front + edge + back for front, edge, back in triples)

    @property
    def box(self) -> tuple[slice, ...]:
        """Position of the volume in the padded volume without the margin."""
        pairs = zip(self.before, self.size, strict=True)
        return tuple(slice(front, front + edge) for front, edge in pairs)

    @property
    def widths(self) -> list[tuple[int, int]]:
        """Voxels added before and after each axis, including the margin."""
        triples = zip(self.before, self.after, self.margin, strict=True)
        return [(front + around, back + around) for front, back, around in triples]

    def with_margin(self, patch: tuple[int, ...]) -> tuple[int, ...]:
        """Return the input size of a tile: the patch plus the margin on both sides."""
        return tuple(edge + 2 * around for edge, around in zip(patch, self.margin, strict=True))

    def apply(self, volume: Volume) -> PaddedVolume:
        """Pad a volume; return it unchanged if no padding is needed.

        Args:
            volume: Volume whose last axes are padded.
        """
        return self._padded(volume, self.widths)

    def _padded(self, volume: Volume, widths: Sequence[tuple[int, int]]) -> PaddedVolume:
        if not any(map(any, widths)):
            return volume
        leading = [(0, 0)] * (volume.ndim - len(widths))
        if any(self.margin):
            return np.pad(volume, [*leading, *widths], mode="reflect")
        return np.pad(volume, [*leading, *widths])

    def apply_to_band(
        self, voxels: VoxelSource, start: int, stop: int
    ) -> Float32[np.ndarray, "channels planes rows columns"]:
        """Load a part of the padded image: some planes, or some rows of a picture.

        Args:
            voxels: The image, with three axes or two.
            start: First plane or row of the padded image.
            stop: One past the last one.
        """
        missing = 4 - len(voxels.shape)
        widths, size = self.widths, self.size[missing]
        before, after = widths[missing]
        if any(self.margin):
            places = np.pad(np.arange(size), (before, after), mode="reflect")[start:stop]
            widths[missing] = 0, 0
        else:
            places = np.arange(max(0, start - before), min(size, stop - before))
            widths[missing] = max(0, before - start), max(0, stop - before - size)
        first, last = int(places.min()), int(places.max()) + 1
        band = np.asarray(voxels[:, first:last])
        if len(places) != last - first or places[0] > places[-1]:  # mirrored
            band = band.take(places - first, axis=1)
        return self._padded(band.reshape(len(band), *(1,) * missing, *band.shape[1:]), widths)

    def apply_to_cascade_input(self, cascade_input: CascadeInput | None) -> CascadeInput | None:
        """Pad a cascade input like its image; None if there is no cascade input."""
        if cascade_input is None:
            return None
        return replace(cascade_input, classes=self.apply(cascade_input.classes.reshape(self.size)))


class Tile(NamedTuple):
    """Position of a tile: its index along each axis."""

    plane: int
    row: int
    column: int


class Window:
    """Cuts tiles from an image, which is loaded in bands, and from its cascade input.

    A band has all planes (of a picture, all rows) of the current tiles. Those that the next tiles
    overlap are loaded only once.

    Attributes:
        tiles: All tiles, sorted by plane, row and column.
    """

    def __init__(
        self,
        voxels: VoxelSource,
        padding: Padding,
        cascade_input: CascadeInput | None,
        shape: tuple[int, ...],
        axes: tuple[AxisTiles, ...],
        *,
        is_flat: bool,
    ) -> None:
        """List the tiles of an image.

        Args:
            voxels: The image, not padded.
            padding: Its padding.
            cascade_input: Padded cascade input; None if there is none.
            shape: Size of a tile including the network's margin, voxels.
            axes: The tiles along each axis.
            is_flat: Whether the network's patch has two axes.
        """
        self._voxels = voxels
        self._padding = padding
        self._axis = 4 - len(voxels.shape)  # the first axis of the image
        self._band = torch.empty(0)
        self._range = 0, 0
        self._cascade_input = cascade_input
        self._shape = shape
        self._axes = axes
        self._is_flat = is_flat
        self.tiles = [Tile(*t) for t in product(*(range(len(axis.starts)) for axis in axes))]

    def cut(self, tiles: Sequence[Tile]) -> ImageBatch:
        """Cut tiles and stack them to a batch with as many axes as the network's patch."""
        return torch.stack([self._cut_one(tile) for tile in tiles])

    def _cut_one(self, tile: Tile) -> torch.Tensor:
        starts = (axis.starts[index] for axis, index in zip(self._axes, tile, strict=True))
        z, y, x = (slice(at, at + length) for at, length in zip(starts, self._shape, strict=True))
        band = self._band_of((z, y, x)[self._axis])
        voxels = band[:, :, y, x] if self._axis == 0 else band[:, z, :, x]
        if self._cascade_input is not None:
            classes = self._cascade_input.classes[z, y, x]
            tile_input = replace(self._cascade_input, classes=classes)
            voxels = torch.cat([voxels, torch.from_numpy(tile_input.one_hot())])
        return voxels[:, 0] if self._is_flat else voxels

    def _band_of(self, wanted: slice) -> torch.Tensor:
        """Return the planes or rows of the current tiles, with all rows and columns."""
        start, stop = int(wanted.start), int(wanted.stop)
        first, last = self._range
        if (start, stop) != self._range:
            kept = last - start if first <= start < last <= stop else 0
            band = torch.from_numpy(self._padding.apply_to_band(self._voxels, start + kept, stop))
            axis = self._axis + 1
            if kept:
                old = self._band.narrow(axis, self._band.shape[axis] - kept, kept)
                band = torch.cat([old, band], dim=axis)
            # batches hold views of the previous band, which therefore is not overwritten
            self._band, self._range = band, (start, stop)
        return self._band
