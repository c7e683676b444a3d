"""Read boxes of prepared cases, which are cached in memory if all cases fit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import ImageArray, LabelArray, VoxelList
from autoseg.preprocessing.storage import StoredCase

KEPT_BYTES = 256 * 2**20
"""Maximum bytes of cached cases per process; 3 GiB with 12 processes. Reading a small patch from a
file takes a quarter of a millisecond, mostly to open the file."""


@dataclass(frozen=True)
class Box:
    """A box cut from a case.

    Attributes:
        image: Intensities.
        labels: Class indices.
        cascade_input: Prediction of the previous stage; None if it was not requested.
    """

    image: ImageArray
    labels: LabelArray
    cascade_input: LabelArray | None


@dataclass(frozen=True)
class CaseReader:
    """Reads boxes of the cases of a fold, with a cache if all cases fit.

    The cache is not pickled: every process has its own.

    Attributes:
        cases: The prepared cases.
        with_cascade_input: Whether to read the predictions of the previous stage.
    """

    cases: tuple[StoredCase, ...]
    with_cascade_input: bool
    _wholes: dict[int, Box] = field(default_factory=dict, repr=False, compare=False)
    _foreground: dict[int, tuple[VoxelList, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @override
    def __reduce__(self) -> tuple[type["CaseReader"], tuple[tuple[StoredCase, ...], bool]]:
        return CaseReader, (self.cases, self.with_cascade_input)

    @cached_property
    def num_channels(self) -> int:
        """Number of image channels."""
        case = self.cases[0]
        axes = len(case.shape)
        return len(case.read_patch((0,) * axes, (1,) * axes)[0])

    @cached_property
    def _keeps(self) -> bool:
        """Whether all cases together are small enough to cache."""
        voxels = sum(prod(case.shape) for case in self.cases)
        return voxels * (4 * self.num_channels + 1 + self.with_cascade_input) <= KEPT_BYTES

    def foreground(self, index: int) -> tuple[VoxelList, ...]:
        """Return the positions of a case's annotated voxels, then of the voxels of each target."""
        if not self._keeps:
            return self.cases[index].foreground
        if index not in self._foreground:
            self._foreground[index] = tuple(map(np.array, self.cases[index].foreground))
        return self._foreground[index]

    def read(self, index: int, start: Sequence[int], stop: Sequence[int]) -> Box:
        """Return a box inside a case; it may be a view of the cache and must not be changed.

        Args:
            index: Index of the case.
            start: First voxel along each axis.
            stop: One past the last voxel along each axis.
        """
        if not self._keeps:
            return self._read(index, tuple(start), tuple(stop))
        whole = self._wholes.get(index)
        if whole is None:
            shape = self.cases[index].shape
            whole = self._wholes[index] = self._read(index, (0,) * len(shape), shape)
        box = tuple(map(slice, start, stop))
        cascade_input = None if whole.cascade_input is None else whole.cascade_input[box]
        return Box(whole.image[(slice(None), *box)], whole.labels[box], cascade_input)

    def _read(self, index: int, start: tuple[int, ...], stop: tuple[int, ...]) -> Box:
        case = self.cases[index]
        image, labels = case.read_patch(start, stop)
        return Box(
            image, labels, case.read_cascade_input(start, stop) if self.with_cascade_input else None
        )
