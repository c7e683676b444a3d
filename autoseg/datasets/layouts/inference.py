"""Infer from the files what no description declares: axes, channels, label values."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.parallel import Failure, Success, run_each
from autoseg.datasets.label_counts import ValuesInMap, values_in_map
from autoseg.datasets.recognition.contents import content_of
from autoseg.documents.dataset import CaseFiles
from autoseg.readers import read_header, read_labels

SAMPLED_CASES = 9
"""Number of cases whose headers are read to infer axes and channels; outliers are found later."""

MAX_LABEL_VALUES = 64
"""Maximum number of label values; more of them are probably instance ids or intensities."""

MIN_INSTANCES = 8
"""Label values probably are instance ids if they count up to this number or more in some file, and
to different numbers in different files."""


class ImageAxes(NamedTuple):
    """Axes of the images of a dataset.

    Attributes:
        number: Number of axes in space.
        num_channels: Number of channels.
        is_fourth: Whether the channels are a fourth axis of the files.
    """

    number: int
    num_channels: int
    is_fourth: bool


def usual_axes(cases: tuple[CaseFiles, ...]) -> ImageAxes:
    """Return the most frequent axes of the images in a sample of the cases.

    Raises:
        DatasetError: If no case in the sample can be read.
    """
    step = max(1, len(cases) // SAMPLED_CASES)
    counts: list[ImageAxes] = []
    issue = ""
    for case in cases[::step]:
        try:
            headers = [read_header(path) for path in case.images]
        except CaseError as error:
            issue = str(error)
            continue
        counts.append(
            ImageAxes(
                number=len(headers[0].shape),
                num_channels=sum(header.num_channels for header in headers),
                is_fourth=any(header.has_fourth_axis for header in headers),
            )
        )
    if not counts:
        raise DatasetError(f"no image can be read, for example: {issue}")
    return Counter(counts).most_common(1)[0][0]


VOID = {-1: 2, 65535: 2, 255: 3}
"""Values of voxels without annotation, and the least number of other values."""

NEARLY_ALL = 0.9
"""Least share of the files whose edges a value fills, and of their voxels next to a class 0."""

HARDLY_ANY = 0.01
"""Most of the voxels along edges that a class 0 has, which is the background if it has more."""

LEAST_FILES = 3
"""Least number of files whose edges decide on the background."""

MASK_VALUES = {1, 255, 65535}
"""Values of the foreground in masks of 1, 8 and 16 bits."""

T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """How the label files of a dataset are read.

    Attributes:
        workers: Number of processes.
        label_maps: Folder for label maps that are made from files of other forms, in the work
            folder; None if nothing may be written.
        sample: Number of label files that are read to find the classes; None for all. With a
            number, no label map is written.
    """

    workers: int = 1
    label_maps: Path | None = None
    sample: int | None = None

    def chosen(self, items: Sequence[T]) -> list[T]:
        """Return all items, or an evenly spaced sample."""
        if self.sample is None or self.sample >= len(items):
            return list(items)
        places = np.linspace(0, len(items) - 1, self.sample).round().astype(int)
        return [items[place] for place in places]


@dataclass(frozen=True)
class FoundValues:
    """Label values that occur in files.

    Attributes:
        values: Values over all files, ascending.
        per_file: Values in each readable file, ascending.
        edges: Number of voxels of each value along the edges of each of these files.
    """

    values: tuple[int, ...]
    per_file: tuple[tuple[int, ...], ...]
    edges: tuple[dict[int, int], ...] = ()

    @property
    def void(self) -> int | None:
        """The value of voxels without annotation; None if no value is known to be it.

        It is -1 next to 0 and 1, 65535 next to 0 and 1, or 255 next to 0, 1 and 2, if the others
        count from 0 without a gap.
        """
        others = [value for value in self.values if value not in VOID]
        marked = [value for value in self.values if value in VOID]
        is_counted = others == list(range(len(others)))
        is_void = len(marked) == 1 and is_counted and len(others) >= VOID[marked[0]]
        return marked[0] if is_void else None

    def background(self, void: int | None) -> int:
        """Return the lowest value, or the value that fills the edges of nearly all files.

        If 0 occurs, it is the background, unless it hardly touches the edges, and the other value
        fills nearly all of them.

        Args:
            void: Value of voxels without annotation, which is left out.
        """
        lowest = next(value for value in self.values if value != void)
        edges = [{v: n for v, n in edge.items() if v != void} for edge in self.edges]
        usual = Counter(max(edge, key=edge.__getitem__) for edge in edges if edge)
        if not usual:
            return lowest
        (value, number), *_ = usual.most_common(1)
        total: Counter[int] = Counter()
        for edge in edges:
            total.update(edge)
        is_alone = total[value] >= NEARLY_ALL * total.total() and (
            total[lowest] <= HARDLY_ANY * total.total()
        )
        is_usual = number >= NEARLY_ALL * len(edges) and len(edges) >= LEAST_FILES
        return value if is_usual and (is_alone or lowest > 0) else lowest

    @property
    def are_masks_of_two_depths(self) -> bool:
        """Whether some files are masks of 0 and 1, and the others masks of 0 and 255 or 65535."""
        foreground = set(self.values) - {0}
        is_mixed = 1 in foreground and len(foreground) > 1 and foreground <= MASK_VALUES
        return is_mixed and not any(len(foreground & set(file)) > 1 for file in self.per_file)

    @property
    def look_like_instance_ids(self) -> bool:
        """Whether values look like instance ids: 1, 2, 3 … in each file, up to varying numbers.

        Anatomical classes usually either occur in all files, or leave gaps where they are missing.
        """
        foreground = [tuple(value for value in file if value != 0) for file in self.per_file]
        counts = [len(file) for file in foreground]
        without_gap = all(file == tuple(range(1, len(file) + 1)) for file in foreground)
        return without_gap and max(counts) >= MIN_INSTANCES and min(counts) < max(counts)


def values_in_files(
    paths: Sequence[Path], reading: Reading, *, most: int = MAX_LABEL_VALUES
) -> FoundValues:
    """Return the label values that occur in the files; unreadable files are skipped.

    Args:
        paths: Label files.
        reading: How they are read.
        most: Greatest number of values.

    Raises:
        DatasetError: If no file can be read, or there are more values.
    """
    found = found_values(run_each(_values_in, reading.chosen(paths), workers=reading.workers))
    values = found.values
    if len(values) > most:
        raise DatasetError(
            f"the label files contain {len(values)} different values, up to {values[-1]}; expected "
            f"at most {most} undeclared classes. If they number objects of one class, add --mask "
            "instances. If they are classes, list them with --label-map, or declare them in a "
            'dataset.json next to the folders: {"labels": {"background": 0, "cell": 1}}.'
        )
    return found


def found_values(outcomes: Iterable[Success[ValuesInMap] | Failure]) -> FoundValues:
    """Combine the values of label files; unreadable files are skipped.

    Raises:
        DatasetError: If no file can be read.
    """
    maps: list[ValuesInMap] = []
    issue = "there are none"
    for outcome in outcomes:
        if isinstance(outcome, Success):
            maps.append(outcome.value)
        else:
            issue = outcome.message
    values = sorted({value for one in maps for value in one.values})
    if not values:
        raise DatasetError(f"no label file can be read, for example: {issue}")
    return FoundValues(
        tuple(values), tuple(one.values for one in maps), tuple(one.edges for one in maps)
    )


def _values_in(path: Path) -> ValuesInMap:
    try:
        return values_in_map(read_labels(path).values)
    except CaseError:
        content = content_of(path)
        if content is None or not content.has_void:
            raise
        return values_in_map(content.numbers)
