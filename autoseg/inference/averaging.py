"""Average the probabilities of several configurations, and take the class that wins.

Each configuration may have a prepared grid of its own. The original grid is worked through in bands
of a few planes: only the planes that a band is made of are decompressed, and within it one class
after the other is interpolated and compared with the best so far.

Source: nnU-Net (Isensee et al. 2021) averages the probabilities of configurations. It does so at
    full resolution, after interpolating logits; here probabilities are interpolated.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.core.errors import CaseError
from autoseg.inference.blocks import BlockInterpolation, Pieces, RunningArgmax
from autoseg.inference.export import (
    BLOCK_PLANES,
    BLOCK_VOXELS,
    ROUNDING_MARGIN,
    cropped_view,
    way_back,
)
from autoseg.inference.probabilities import FULL, Probabilities, ProbabilityArray


class Part(NamedTuple):
    """What a member knows of a block: its coarse probabilities, and how to interpolate them."""

    coarse: ProbabilityArray
    pieces: Pieces


class Piece(NamedTuple):
    """The mean probabilities of one output in a block of the original image's nonzero crop.

    Attributes:
        output: Index of the class or region.
        planes: First plane, and the one behind the last; as `cropped_view` has them.
        rows: The same of the rows; all columns belong to the block.
        probabilities: 0 … 1; None if all are 0.
    """

    output: int
    planes: tuple[int, int]
    rows: tuple[int, int]
    probabilities: Float32[np.ndarray, "planes rows columns"] | None


def mean_probabilities(members: Sequence[Probabilities], outputs: Sequence[int]) -> Iterator[Piece]:
    """Yield the mean probabilities of some outputs, block by block, on the original grid.

    Args:
        members: What each configuration found for the same image; at least one.
        outputs: Which classes or regions.

    Raises:
        CaseError: If they do not belong to the same image and label scheme.
    """
    _check(members)
    ways = [way_back(member.grid.restoration, member.grid.orders) for member in members]
    shape = tuple(sampling.lower.size for sampling in ways[0])
    for start in range(0, shape[0], BLOCK_PLANES):
        planes = start, min(start + BLOCK_PLANES, shape[0])
        parts = [_band(*pair, *planes) for pair in zip(members, ways, strict=True)]
        for rows in _rows((planes[1] - start, *shape[1:])):
            block = _Block(parts, rows)
            for output in outputs:
                yield Piece(output, planes, rows, _mean(block, output))


def ensemble_class_map(members: Sequence[Probabilities], *, workers: int) -> LabelArray:
    """Return the index of what every voxel of the original image is, canonical axis order.

    Without regions, the class with the highest mean probability, of equals the lowest. With
    regions, one more than the last region whose mean probability is above 1/2, or 0. Voxels outside
    the nonzero crop are 0.

    Args:
        members: What each configuration found for the same image; at least one.
        workers: Threads.

    Returns:
        uint8, or uint16 for more than 256 indices; `LabelScheme.decode` makes label values of them.

    Raises:
        CaseError: If they do not belong to the same image and label scheme.
    """
    _check(members)
    grid = members[0].grid
    num_indices = grid.num_outputs + int(grid.is_regional)
    whole = np.zeros(grid.restoration.full_shape, np.uint8 if num_indices <= 256 else np.uint16)
    cropped = cropped_view(whole, grid.restoration)
    ways = [way_back(member.grid.restoration, member.grid.orders) for member in members]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, len(cropped), BLOCK_PLANES):
            stop = min(start + BLOCK_PLANES, len(cropped))
            parts = [_band(*pair, start, stop) for pair in zip(members, ways, strict=True)]
            band = cropped[start:stop]
            fill = partial(_fill, band, parts, is_regional=grid.is_regional)
            list(pool.map(fill, _rows(band.shape)))
    return whole


def _check(members: Sequence[Probabilities]) -> None:
    """Check that several outputs are about the same.

    Raises:
        CaseError: If they differ in image, crop, classes or kind.
    """
    for member in members:
        for of in (_image, _kind):
            if of(member) != of(members[0]):
                msg = (
                    f"probabilities of {of(member)} cannot be averaged with those of "
                    f"{of(members[0])}; expected the same image and labels. Predict the case again "
                    "with all configurations."
                )
                raise CaseError(msg)


def _image(member: Probabilities) -> str:
    way = member.grid.restoration
    return f"an image of {way.full_shape} voxels, cropped to {way.crop} along axes {way.axis_order}"


def _kind(member: Probabilities) -> str:
    return f"{member.grid.num_outputs} {'regions' if member.grid.is_regional else 'classes'}"


def _band(
    member: Probabilities,
    way: Pieces,
    start: int,
    stop: int,
) -> Part:
    """Return what a member knows of some planes of the original grid."""
    planes, first, last = way[0].piece(start, stop)
    return Part(coarse=member.planes(first, last), pieces=(planes, way[1], way[2]))


def _rows(band: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the ranges of rows that a band of `planes, rows, columns` is worked through in."""
    planes, rows, columns = band
    height = max(1, BLOCK_VOXELS // (planes * columns))
    return [(start, min(start + height, rows)) for start in range(0, rows, height)]


def _fill(
    band: NDArray[np.generic], parts: Sequence[Part], rows: tuple[int, int], *, is_regional: bool
) -> None:
    """Write the indices of some rows of a band into it."""
    block = _Block(parts, rows)
    band[:, slice(*rows)] = _regions(block) if is_regional else _classes(block)


def _of_rows(part: Part, rows: tuple[int, int]) -> Part:
    planes, all_rows, columns = part.pieces
    piece, first, last = all_rows.piece(*rows)
    return Part(coarse=part.coarse[:, :, first:last], pieces=(planes, piece, columns))


class _Block:
    """What all members know of a block, output by output, in memory that is kept."""

    def __init__(self, parts: Sequence[Part], rows: tuple[int, int]) -> None:
        self._parts = [_of_rows(part, rows) for part in parts]
        self._interpolations = [
            BlockInterpolation(part.pieces, part.coarse.shape[1:]) for part in self._parts
        ]
        self._coarse = [np.empty(part.coarse.shape[1:], np.float32) for part in self._parts]
        self.shape = self._interpolations[0].shape
        self._total = np.empty(self.shape, np.float32)
        self.num_members = len(parts)
        self.num_outputs = len(self._parts[0].coarse)

    def sum(self, index: int) -> NDArray[np.float32]:
        """Return the members' probabilities of an output, added up; the next overwrites them."""
        for number, interpolate in enumerate(self._interpolations):
            coarse = self._coarse[number]
            coarse[...] = self._parts[number].coarse[index]
            found = interpolate(coarse)
            if number:
                self._total += found
            else:
                self._total[...] = found
        return self._total

    def upper_bound(self, index: int) -> float:
        """Return what no interpolated sum of an output exceeds, rounding included."""
        return (1 + ROUNDING_MARGIN) * sum(float(part.coarse[index].max()) for part in self._parts)


def _classes(block: _Block) -> NDArray[np.generic]:
    """Return the class of highest sum; classes that cannot win anywhere are not interpolated."""
    winners = RunningArgmax(block.sum(0), np.dtype(np.uint16))
    for index in range(1, block.num_outputs):
        if block.upper_bound(index) >= winners.lowest:
            winners.consider(index, block.sum(index))
    return winners.classes


def _regions(block: _Block) -> NDArray[np.generic]:
    """Return one more than the last region that a voxel is in, 0 where it is in none."""
    indices = np.zeros(block.shape, dtype=np.uint16)
    half = (1 + ROUNDING_MARGIN) * 0.5 * FULL * block.num_members
    for index in range(block.num_outputs):
        if block.upper_bound(index) > half:
            indices[block.sum(index) > half] = index + 1
    return indices


def _mean(block: _Block, index: int) -> NDArray[np.float32] | None:
    """Return the mean probability of one output on the original grid, 0 … 1; None if it is 0."""
    if block.upper_bound(index) == 0:
        return None
    return block.sum(index) / np.float32(FULL * block.num_members)
