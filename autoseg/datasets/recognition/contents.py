"""Find out from the voxels of a file whether it holds labels, and how it stores them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations
from pathlib import Path

import numpy as np

from autoseg.core.arrays import MaskArray
from autoseg.core.errors import CaseError
from autoseg.core.geometry import canonical_orientation
from autoseg.readers import read_stored_labels
from autoseg.readers.base import StoredArray, StoredImage
from autoseg.readers.segments import Segment

MAX_CLASSES = 64
"""Most values or colours of undeclared classes."""

COLOUR_CHANNELS = 3
"""Red, green and blue."""

EXTREME = 0.1
"""Distance from the darkest and brightest value, as a share of the range, that counts as near."""

LEAST_NEAR = 0.6
"""Least share of the voxels brighter than near black that are near white, in a mask that was
blurred or compressed as JPEG. In a photo, or in a map that numbers objects, it is far less."""

BLURRED_VALUES = 8
"""Least number of values of a mask with blurred edges; fewer are classes."""

BLURRED_RANGE = 200
"""Least difference of the greatest and the least value of a blurred mask of 8 bits."""

MOST_IN_AREAS = 0.5
"""Share of the voxels between the least and the greatest value that are next to an equal voxel,
along some axis, from which on they are classes and no blurred edges."""

BRIGHTEST = 255
"""Value of white in files of 8 bits."""

LEAST_EDGES = 0.9
"""Least share of the voxels between two values that lie along edges, in a mask of soft edges."""

LEAST_EQUAL = 0.4
"""Least share of voxels next to an equal voxel, without the most frequent value. Classes fill
areas; intensities vary from voxel to voxel."""

FEW_VALUES = 3
"""Number of values up to which a file holds labels, whatever their places."""

LEAST_OBJECTS = 4
"""Least number of objects in some file, to tell them from classes by their numbers."""

LEAST_ELSEWHERE = 0.35
"""Least share of the numbers of objects that are nearest to another number in another file. At
random places it is above 0.7; a class has a similar place in all files."""


@dataclass(frozen=True)
class Content:
    """The voxels of a label file or of an image.

    Attributes:
        voxels: As stored, channels first.
        palette: Colours `(256, 3)` of the numbers in a label file that has a palette.
        segments: Named structures of a segmentation program's file.
        has_fourth_axis: Whether the channels are a fourth axis of the file, such as that of time.
    """

    voxels: StoredArray
    palette: np.ndarray | None = None
    segments: tuple[Segment, ...] = ()
    has_fourth_axis: bool = False

    @classmethod
    def of(cls, stored: StoredImage) -> "Content":
        """Return the content of a file that was read."""
        return cls(stored.voxels, stored.palette, stored.segments, stored.has_fourth_axis)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without channels and without axes of one voxel."""
        return tuple(size for size in self.voxels.shape[1:] if size > 1)

    @cached_property
    def channels(self) -> StoredArray:
        """Channels of a picture without the opacity; only the opacity if nothing else varies."""
        if self.voxels.ndim != 3 or len(self.voxels) not in (2, 4):
            return self.voxels
        colours, opacity = self.voxels[:-1], self.voxels[-1:]
        is_constant = all(channel.min() == channel.max() for channel in colours)
        return opacity if is_constant and opacity.min() < opacity.max() else colours

    @property
    def coloured(self) -> np.ndarray:
        """Red, green and blue; the colours of a palette instead of its numbers."""
        if self.palette is not None:
            return np.moveaxis(self.palette[self.voxels[0]], -1, 0)
        if len(self.channels) >= COLOUR_CHANNELS:
            return self.channels[:COLOUR_CHANNELS]
        return np.repeat(self.channels[:1], COLOUR_CHANNELS, axis=0)

    @cached_property
    def is_grey(self) -> bool:
        """Whether all channels but the opacity are equal."""
        return all(np.array_equal(self.channels[0], channel) for channel in self.channels[1:])

    @property
    def is_coloured(self) -> bool:
        """Whether the channels are red, green and blue."""
        return len(self.channels) == COLOUR_CHANNELS and not self.has_fourth_axis

    @cached_property
    def numbers(self) -> np.ndarray:
        """Value of each voxel: of colours, red + 256 green + 65536 blue.

        If only one of the colours is not 0 everywhere, it holds the values.
        """
        if self.is_grey or not self.is_coloured:
            return np.asarray(self.channels[0])
        used = [channel for channel in self.channels if channel.any()]
        if len(used) == 1:
            return np.asarray(used[0])
        red, green, blue = self.channels.astype(np.int64)
        return np.asarray(red + (green << 8) + (blue << 16))

    @cached_property
    def values(self) -> np.ndarray:
        """Distinct values of the first channel, ascending."""
        return np.unique(self.channels[0])

    @cached_property
    def colours(self) -> np.ndarray:
        """Distinct colours, one in a row."""
        codes = np.unique(colour_codes(self.coloured))
        return np.stack([codes >> 32, codes >> 16 & 0xFFFF, codes & 0xFFFF], axis=1)

    @cached_property
    def mixtures(self) -> int:
        """Number of colours that lie along edges alone, between others, as after resizing."""
        from scipy.ndimage import maximum_filter, minimum_filter

        between = np.zeros(self.coloured.shape[1:], bool)
        for channel in self.coloured:
            is_between = (minimum_filter(channel, 3) < channel) & (
                channel < maximum_filter(channel, 3)
            )
            between |= is_between
        codes = colour_codes(self.coloured)
        colours, places = np.unique(codes, return_inverse=True)
        shares = np.bincount(places.ravel(), between.ravel()) / np.bincount(places.ravel())
        return int(np.count_nonzero(shares >= LEAST_EDGES)) if len(colours) else 0

    @property
    def is_whole(self) -> bool:
        """Whether all values of the first channel are whole numbers."""
        return bool(np.isfinite(self.values).all() and (self.values == np.rint(self.values)).all())

    @property
    def has_void(self) -> bool:
        """Whether the least value is -1, which marks voxels without annotation, next to others."""
        return self.is_grey and self.is_whole and self.values[0] == -1 and len(self.values) > 1

    @property
    def is_one_hot(self) -> bool:
        """Whether there are several channels, from 0 to 1, whose sum is 1 in each voxel."""
        if len(self.voxels) < 2 or self.voxels.min() < 0 or self.voxels.max() > 1:
            return False
        return bool(np.allclose(self.voxels.sum(axis=0, dtype=np.float64), 1, atol=1e-3))

    @property
    def are_masks(self) -> bool:
        """Whether there are several channels, each a mask of 0 and one other value."""
        largest = self.channels.max()
        is_binary = bool(((self.channels == 0) | (self.channels == largest)).all())
        return len(self.channels) > 1 and not self.is_coloured and is_binary

    @property
    def are_disjoint_masks(self) -> bool:
        """Whether the channels are masks, and no voxel is in two of them."""
        return self.are_masks and int(np.count_nonzero(self.channels, axis=0).max()) == 1

    @property
    def is_mask(self) -> bool:
        """Whether there are at most two grey values, or nearly so."""
        grey = self.channels[0]
        has_two = bool(((grey == grey.min()) | (grey == grey.max())).all())
        return self.is_grey and (has_two or self.is_nearly_binary)

    @property
    def foreground(self) -> MaskArray:
        """Where any channel is above half of the greatest value."""
        brightest = self.channels.max(axis=0)
        return np.asarray(brightest > brightest.max(initial=0) / 2)

    @cached_property
    def is_nearly_binary(self) -> bool:
        """Whether most voxels lie near two extremes, as in a mask that was compressed as JPEG.

        Half of the voxels equal the next one, unlike those of an image that is bright or dark.
        """
        if not self.is_blurred:
            return False
        grey = self.channels[0]
        if (
            self.is_whole
            and min(_shares_next_to_equal(grey, np.ones(grey.shape, bool))) < MOST_IN_AREAS
        ):
            return False
        least, greatest = float(self.values[0]), float(self.values[-1])
        share = (self.channels[0].astype(np.float32) - least) / (greatest - least)
        return bool((share > 1 - EXTREME).sum() >= LEAST_NEAR * (share > EXTREME).sum())

    @cached_property
    def is_blurred(self) -> bool:
        """Whether there are many values over a wide range that fill no areas."""
        needed = BLURRED_RANGE if self.is_whole else 0.5
        if not self.is_grey or len(self.values) < BLURRED_VALUES:
            return False
        return bool(np.ptp(self.values.astype(float)) >= needed) and not self.has_classes

    @cached_property
    def has_soft_edges(self) -> bool:
        """Whether values between the least and the greatest lie along edges alone.

        Each has a darker and a brighter neighbour, and the greatest is that of a mask.
        """
        from scipy.ndimage import maximum_filter, minimum_filter

        if not self.is_grey or len(self.values) < FEW_VALUES:
            return False
        grey, (least, greatest) = self.channels[0], self.values[[0, -1]]
        if least != 0 or greatest != (BRIGHTEST if self.is_whole else 1):
            return False
        between = (grey > least) & (grey < greatest)
        is_edge = (minimum_filter(grey, 3) < grey) & (maximum_filter(grey, 3) > grey)
        return bool(is_edge[between].mean() >= LEAST_EDGES)

    @cached_property
    def has_classes(self) -> bool:
        """Whether values between the least and the greatest fill areas, unlike blurred edges."""
        grey = self.channels[0]
        between = (grey > self.values[0]) & (grey < self.values[-1])
        shares = _shares_next_to_equal(grey, between)
        return self.is_whole and min(shares, default=0.0) >= MOST_IN_AREAS

    @cached_property
    def num_objects(self) -> int:
        """Number of objects if each value from 1 on, without a gap, is one region; otherwise 0."""
        from scipy.ndimage import find_objects, label

        if not (self.is_whole and (self.is_grey or self.is_coloured)):
            return 0
        if self.numbers.max() > self.numbers.size:  # as in photos, without counting their colours
            return 0
        values = np.unique(self.numbers)
        values = values[values > 0]
        is_numbered = len(values) > 0 and values[-1] == len(values)
        if not is_numbered or np.mean(self._shares_in_areas) < LEAST_EQUAL:
            return 0
        labels = self.numbers if self.numbers.dtype.kind in "iu" else self.numbers.astype(np.int64)
        full = np.ones((3,) * labels.ndim)
        for value, box in enumerate(find_objects(labels), start=1):
            if len(values) <= MAX_CLASSES and label(labels[box] == value, structure=full)[1] > 1:
                return 0
        return len(values)

    @property
    def is_empty(self) -> bool:
        """Whether there are no values above 0."""
        return bool(self.numbers.max() <= 0)

    @property
    def centres(self) -> dict[int, np.ndarray]:
        """Centre of the bounding box of each value above 0, as a share of the size."""
        from scipy.ndimage import find_objects

        labels = self.numbers if self.numbers.dtype.kind in "iu" else self.numbers.astype(np.int64)
        boxes = enumerate(find_objects(labels), start=1)
        return {
            value: np.array([(part.start + part.stop) / 2 for part in box])
            / self.channels.shape[1:]
            for value, box in boxes
            if box is not None
        }

    @property
    def fills_areas(self) -> bool:
        """Whether many voxels equal the next one along some axis; thin lines do along one only."""
        return max(self._shares_in_areas) >= LEAST_EQUAL

    @cached_property
    def _shares_in_areas(self) -> list[float]:
        """For each axis, the share that equals the next voxel, without the most frequent value."""
        values, counts = np.unique(self.numbers, return_counts=True)
        is_rare = self.numbers != values[counts.argmax()]
        return _shares_next_to_equal(self.numbers, is_rare) or [1.0]

    @property
    def looks_like_labels(self) -> bool:
        """Whether the voxels are labels rather than intensities."""
        if self.segments or self.is_one_hot or self.is_nearly_binary:
            return True
        if self.num_objects > MAX_CLASSES:
            return True
        if self.is_grey:
            is_small = self.is_whole and len(self.values) <= MAX_CLASSES
            return is_small and (len(self.values) <= FEW_VALUES or self.fills_areas)
        if not self.is_coloured:
            return all(Content(channel[None]).looks_like_labels for channel in self.channels)
        return len(self.colours) <= MAX_CLASSES


def _shares_next_to_equal(grey: np.ndarray, counted: np.ndarray) -> list[float]:
    """Return the share of the counted voxels that equal the next one, for axes with any."""
    shares: list[float] = []
    for axis in range(grey.ndim):
        voxels, chosen = np.moveaxis(grey, axis, 0), np.moveaxis(counted, axis, 0)[:-1]
        number = np.count_nonzero(chosen)
        equal = np.count_nonzero((voxels[:-1] == voxels[1:]) & chosen)
        shares += [float(equal / number)] if number else []
    return shares


def colour_codes(coloured: np.ndarray) -> np.ndarray:
    """Return red, green and blue of each voxel as one whole number."""
    red, green, blue = coloured.astype(np.int64)
    return np.asarray(red << 32 | green << 16 | blue)


def content_of(path: Path) -> Content | None:
    """Read the voxels of a file in canonical orientation; None if it cannot be read."""
    try:
        stored = read_stored_labels(path)
    except CaseError:
        return None
    voxels = canonical_orientation(stored.geometry).apply(stored.voxels)
    return Content.of(replace(stored, voxels=voxels))


def has_foreground(path: Path) -> bool:
    """Return True if a mask is not empty."""
    content = content_of(path)
    return content is not None and bool(content.foreground.any())


def number_objects(contents: Sequence[Content]) -> bool | None:
    """Decide if label files number objects; None if the numbers may also be classes.

    Objects differ in number between the files, and one number has unrelated places. Files without
    objects are left out.
    """
    shown = [content for content in contents if not content.is_empty]
    counts = [content.num_objects for content in shown]
    if any(count > MAX_CLASSES for count in counts):
        return True
    if not all(counts) or len(set(counts)) < 2 or max(counts) < LEAST_OBJECTS:
        return False
    are_unrelated = _share_elsewhere([one.centres for one in shown]) >= LEAST_ELSEWHERE
    return True if are_unrelated else None


def _share_elsewhere(files: Sequence[dict[int, np.ndarray]]) -> float:
    """Compare places in pairs of files with different numbers of objects.

    Returns:
        Share of the objects of one file that are nearest to an object of another number in the
        other file, among those whose number both files have. Of each pair, the share is the least
        one after mirroring along at most one axis, since left and right sides may be mixed.
    """
    elsewhere = total = 0
    for first, second in permutations(files, 2):
        common = [number for number in first if number in second]
        if len(first) == len(second) or not common:
            continue
        places = np.stack([first[number] for number in common])
        others = np.stack(list(second.values()))
        axes = places.shape[1]
        mirrored = np.where(np.eye(axes + 1, axes, dtype=bool)[:, None], 1 - places, places)
        distances = np.linalg.norm(mirrored[:, :, None] - others, axis=-1)
        nearest = np.array(list(second))[distances.argmin(axis=-1)]
        elsewhere += int((nearest != common).sum(axis=1).min())
        total += len(common)
    return elsewhere / total if total else 0.0


def palettes_differ(contents: Sequence[Content]) -> bool:
    """Return True if a number has different colours in different files with a palette."""
    seen: dict[int, tuple[int, ...]] = {}
    for content in contents:
        if content.palette is None:
            continue
        for number in content.values:
            colour = tuple(content.palette[number])
            if seen.setdefault(int(number), colour) != colour:
                return True
    return False
