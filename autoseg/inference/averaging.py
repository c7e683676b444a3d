"""Average the probabilities of several configurations and take the argmax.

Each configuration may have its own prepared grid. The original grid is processed in bands of a few
planes. Per band, only the planes needed for it are decompressed, and one class after the other is
interpolated and compared with the running maximum.

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
from autoseg.inference.export import (
    BLOCK_PLANES,
    BLOCK_VOXELS,
    ROUNDING_MARGIN,
    cropped_view,
    inverse_samplings,
)
from autoseg.inference.interpolation import AxisSamplings, BlockInterpolation, RunningArgmax
from autoseg.inference.probabilities import FULL, Probabilities, ProbabilityArray


class MemberBand(NamedTuple):
    """The probabilities of one member that a band of the original grid is interpolated from.

    Attributes:
        coarse: Probabilities on the member's prepared grid, 0 … `FULL`.
        samplings: How to interpolate them along planes, rows and columns.
    """

    coarse: ProbabilityArray
    samplings: AxisSamplings


class ProbabilityBlock(NamedTuple):
    """Mean probabilities of one output in a block of the original image's nonzero crop.

    Attributes:
        output: Index of the class or region.
        planes: First plane and one past the last, in the axis order of `cropped_view`.
        rows: First row and one past the last; the block contains all columns.
        probabilities: 0 … 1; None if all are 0.
    """

    output: int
    planes: tuple[int, int]
    rows: tuple[int, int]
    probabilities: Float32[np.ndarray, "planes rows columns"] | None


def mean_probabilities(
    members: Sequence[Probabilities], outputs: Sequence[int]
) -> Iterator[ProbabilityBlock]:
    """Yield the mean probabilities of the given outputs, block by block, on the original grid.

    Args:
        members: The probabilities of each configuration for the same image; at least one.
        outputs: Indices of classes or regions, at least one; only these are decompressed.

    Raises:
        CaseError: If the members differ in image or label scheme.
    """
    _check_same_outputs(members)
    samplings = [_member_samplings(member) for member in members]
    shape = tuple(sampling.lower.size for sampling in samplings[0])
    loaded = slice(min(outputs), max(outputs) + 1)
    for start in range(0, shape[0], BLOCK_PLANES):
        planes = start, min(start + BLOCK_PLANES, shape[0])
        pairs = zip(members, samplings, strict=True)
        bands = [_member_band(*pair, *planes, loaded) for pair in pairs]
        for rows in _row_ranges((planes[1] - start, *shape[1:])):
            block = _EnsembleBlock(bands, rows)
            for output in outputs:
                mean = _mean(block, output - loaded.start)
                yield ProbabilityBlock(output, planes, rows, mean)


def ensemble_class_map(members: Sequence[Probabilities], *, workers: int) -> LabelArray:
    """Compute the predicted index of every voxel of the original image, canonical axis order.

    Without regions, the index is the class with the highest mean probability; of equal ones, the
    lowest class. With regions, it is one more than the last region whose mean probability is above
    1/2, or 0. Voxels outside the nonzero crop are 0.

    Args:
        members: The probabilities of each configuration for the same image; at least one.
        workers: Number of threads.

    Returns:
        uint8, or uint16 for more than 256 indices. `LabelScheme.decode` converts them to label
        values.

    Raises:
        CaseError: If the members differ in image or label scheme.
    """
    _check_same_outputs(members)
    grid = members[0].grid
    num_indices = grid.num_outputs + int(grid.is_regional)
    whole = np.zeros(grid.restoration.full_shape, np.uint8 if num_indices <= 256 else np.uint16)
    cropped = cropped_view(whole, grid.restoration)
    samplings = [_member_samplings(member) for member in members]
    with ThreadPoolExecutor(max(1, workers)) as pool:
        for start in range(0, len(cropped), BLOCK_PLANES):
            stop = min(start + BLOCK_PLANES, len(cropped))
            pairs = zip(members, samplings, strict=True)
            bands = [_member_band(*pair, start, stop) for pair in pairs]
            target = cropped[start:stop]
            fill = partial(_fill_rows, target, bands, is_regional=grid.is_regional)
            list(pool.map(fill, _row_ranges(target.shape)))
    return whole


def _check_same_outputs(members: Sequence[Probabilities]) -> None:
    """Raise a CaseError if the members differ in image, crop or outputs."""
    for member in members:
        for describe in (_describe_image, _describe_outputs):
            if describe(member) != describe(members[0]):
                msg = (
                    f"probabilities of {describe(member)} cannot be averaged with those of "
                    f"{describe(members[0])}; expected the same image and labels. Predict the case "
                    "again with all configurations."
                )
                raise CaseError(msg)


def _describe_image(member: Probabilities) -> str:
    inverse = member.grid.restoration
    return (
        f"an image of {inverse.full_shape} voxels, cropped to {inverse.crop} along axes "
        f"{inverse.axis_order}"
    )


def _describe_outputs(member: Probabilities) -> str:
    return f"{member.grid.num_outputs} {'regions' if member.grid.is_regional else 'classes'}"


def _member_samplings(member: Probabilities) -> AxisSamplings:
    return inverse_samplings(member.grid.restoration, member.grid.orders)


def _member_band(
    member: Probabilities,
    samplings: AxisSamplings,
    start: int,
    stop: int,
    outputs: slice = slice(None),
) -> MemberBand:
    """Load the probabilities that some planes of the original grid are interpolated from."""
    planes, first, last = samplings[0].piece(start, stop)
    return MemberBand(member.planes(first, last, outputs), (planes, *samplings[1:]))


def _row_ranges(band: tuple[int, ...]) -> list[tuple[int, int]]:
    """Split the rows of a band of shape `planes rows columns` into ranges of one block each."""
    planes, rows, columns = band
    height = max(1, BLOCK_VOXELS // (planes * columns))
    return [(start, min(start + height, rows)) for start in range(0, rows, height)]


def _fill_rows(
    target: NDArray[np.generic],
    bands: Sequence[MemberBand],
    rows: tuple[int, int],
    *,
    is_regional: bool,
) -> None:
    """Compute the indices of some rows of a band and write them into `target`."""
    block = _EnsembleBlock(bands, rows)
    target[:, slice(*rows)] = _last_regions(block) if is_regional else _argmax(block)


def _select_rows(band: MemberBand, rows: tuple[int, int]) -> MemberBand:
    planes, all_rows, columns = band.samplings
    piece, first, last = all_rows.piece(*rows)
    return MemberBand(band.coarse[:, :, first:last], (planes, piece, columns))


class _EnsembleBlock:
    """The probabilities of all members in one block, one output at a time, in reused buffers."""

    def __init__(self, bands: Sequence[MemberBand], rows: tuple[int, int]) -> None:
        self._members = [_select_rows(band, rows) for band in bands]
        self._interpolations = [
            BlockInterpolation(member.samplings, member.coarse.shape[1:])
            for member in self._members
        ]
        self._coarse = [np.empty(member.coarse.shape[1:], np.float32) for member in self._members]
        self.shape = self._interpolations[0].shape
        self._total = np.empty(self.shape, np.float32)
        self.num_members = len(bands)
        self.num_outputs = len(self._members[0].coarse)

    def sum(self, index: int) -> NDArray[np.float32]:
        """Return the sum of the members' probabilities of an output; overwritten by the next."""
        for number, interpolate in enumerate(self._interpolations):
            coarse = self._coarse[number]
            coarse[...] = self._members[number].coarse[index]
            interpolated = interpolate(coarse)
            if number:
                self._total += interpolated
            else:
                self._total[...] = interpolated
        return self._total

    def upper_bound(self, index: int) -> float:
        """Return an upper bound of an output's interpolated sum, rounding errors included."""
        maxima = (float(member.coarse[index].max()) for member in self._members)
        return (1 + ROUNDING_MARGIN) * sum(maxima)


def _argmax(block: _EnsembleBlock) -> NDArray[np.generic]:
    """Return the class with the highest sum; classes that cannot win are not interpolated."""
    best = RunningArgmax(block.sum(0), np.dtype(np.uint16))
    for index in range(1, block.num_outputs):
        if block.upper_bound(index) >= best.lowest:
            best.update(index, block.sum(index))
    return best.classes


def _last_regions(block: _EnsembleBlock) -> NDArray[np.generic]:
    """Return one more than the last region that contains each voxel, 0 where none does."""
    indices = np.zeros(block.shape, dtype=np.uint16)
    half = (1 + ROUNDING_MARGIN) * 0.5 * FULL * block.num_members
    for index in range(block.num_outputs):
        if block.upper_bound(index) > half:
            indices[block.sum(index) > half] = index + 1
    return indices


def _mean(block: _EnsembleBlock, index: int) -> NDArray[np.float32] | None:
    """Return the mean probability of one output on the original grid, 0 … 1; None if all are 0."""
    if block.upper_bound(index) == 0:
        return None
    return block.sum(index) / np.float32(FULL * block.num_members)
