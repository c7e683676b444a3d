"""Find out from the voxels of a file whether it holds labels, and how it stores them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from autoseg.core.errors import CaseError
from autoseg.readers import read_stored_labels
from autoseg.readers.base import StoredArray

MAX_CLASSES = 64
"""Most values or colours of undeclared classes."""

EXTREME = 0.1
"""Distance from the darkest and brightest value, as a share of the range, that counts as near."""

LEAST_NEAR = 0.6
"""Least share of the voxels brighter than near black that are near white, in a mask that was
blurred or compressed as JPEG. In a photo, or in a map that numbers objects, it is far less."""

BLURRED_VALUES = 8
"""Least number of values of such a mask; fewer are classes."""

BLURRED_RANGE = 200
"""Least difference of the greatest and the least value of such a mask of 8 bits."""

LEAST_EQUAL = 0.4
"""Least share of voxels next to an equal voxel, without the most frequent value. Classes fill
areas; intensities vary from voxel to voxel."""

FEW_VALUES = 3
"""Number of values up to which a file holds labels, whatever their places."""

LEAST_OBJECTS = 4
"""Least number of objects in some file, to tell them from classes by their numbers."""


@dataclass(frozen=True)
class Content:
    """The voxels of a label file or of an image.

    Attributes:
        voxels: As stored, channels first.
    """

    voxels: StoredArray

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without channels and without axes of one voxel."""
        return tuple(size for size in self.voxels.shape[1:] if size > 1)

    @cached_property
    def is_grey(self) -> bool:
        """Whether all channels but an opacity that is the same everywhere are equal."""
        channels = self._opaque
        return all(np.array_equal(channels[0], channel) for channel in channels[1:])

    @cached_property
    def _opaque(self) -> StoredArray:
        has_opacity = len(self.voxels) in (2, 4) and self.voxels.dtype == np.uint8
        if has_opacity and self.voxels[-1].min() == self.voxels[-1].max():
            return self.voxels[:-1]
        return self.voxels

    @cached_property
    def values(self) -> np.ndarray:
        """Distinct values of the first channel, ascending."""
        return np.unique(self.voxels[0])

    @cached_property
    def colours(self) -> np.ndarray:
        """Distinct colours, one in a row."""
        channels = self._opaque
        return np.unique(channels.reshape(len(channels), -1), axis=1).T

    @property
    def is_whole(self) -> bool:
        """Whether all values of the first channel are whole numbers."""
        return bool(np.isfinite(self.values).all() and (self.values == np.rint(self.values)).all())

    @property
    def is_one_hot(self) -> bool:
        """Whether there are several channels, from 0 to 1, whose sum is 1 in each voxel."""
        if len(self.voxels) < 2 or self.voxels.min() < 0 or self.voxels.max() > 1:
            return False
        return bool(np.allclose(self.voxels.sum(axis=0, dtype=np.float64), 1, atol=1e-3))

    @cached_property
    def is_nearly_binary(self) -> bool:
        """Whether most voxels lie near two extremes, as in a mask that was compressed as JPEG."""
        least, greatest = float(self.values[0]), float(self.values[-1])
        needed = BLURRED_RANGE if self.is_whole else 0.5
        if not self.is_grey or len(self.values) < BLURRED_VALUES or greatest - least < needed:
            return False
        share = (self.voxels[0].astype(np.float32) - least) / (greatest - least)
        return bool((share > 1 - EXTREME).sum() >= LEAST_NEAR * (share > EXTREME).sum())

    @cached_property
    def num_objects(self) -> int:
        """Number of objects if each value from 1 on, without a gap, is one region; otherwise 0."""
        from scipy.ndimage import find_objects, label

        if not (self.is_grey and self.is_whole):
            return 0
        values = self.values[self.values > 0]
        if not len(values) or values[-1] != len(values) or not self.fills_areas:
            return 0
        labels = self.voxels[0].astype(np.int64)
        full = np.ones((3,) * labels.ndim)
        for value, box in enumerate(find_objects(labels), start=1):
            if len(values) <= MAX_CLASSES and label(labels[box] == value, structure=full)[1] > 1:
                return 0
        return len(values)

    @property
    def fills_areas(self) -> bool:
        """Whether most voxels are next to an equal voxel, without the most frequent value."""
        voxels = self.voxels[0]
        values, counts = np.unique(voxels, return_counts=True)
        shown = voxels[..., :-1] != values[counts.argmax()]
        equal = voxels[..., :-1] == voxels[..., 1:]
        return bool(equal[shown].sum() >= LEAST_EQUAL * shown.sum())

    @property
    def looks_like_labels(self) -> bool:
        """Whether the voxels are labels rather than intensities."""
        if self.is_one_hot or self.is_nearly_binary or self.num_objects > MAX_CLASSES:
            return True
        if self.is_grey:
            is_small = self.is_whole and len(self.values) <= MAX_CLASSES
            return is_small and (len(self.values) <= FEW_VALUES or self.fills_areas)
        return len(self._opaque) == 3 and len(self.colours) <= MAX_CLASSES


def content_of(path: Path) -> Content | None:
    """Read the voxels of a file; None if it cannot be read."""
    try:
        return Content(read_stored_labels(path).voxels)
    except CaseError:
        return None


def number_objects(contents: Sequence[Content]) -> bool:
    """Return True if files of labels number objects, whose count differs between the files."""
    counts = [content.num_objects for content in contents]
    if any(count > MAX_CLASSES for count in counts):
        return True
    return all(counts) and len(set(counts)) > 1 and max(counts, default=0) >= LEAST_OBJECTS
