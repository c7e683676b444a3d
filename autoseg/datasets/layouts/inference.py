"""Infer from the files what no description declares: axes, channels, label values."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.parallel import Failure, Success, run_each
from autoseg.datasets.label_counts import label_counts
from autoseg.documents.dataset import CaseFiles
from autoseg.readers import read_header, read_labels

SAMPLED_CASES = 9
"""Number of cases whose headers are read to infer axes and channels; outliers are found later."""

MAX_LABEL_VALUES = 64
"""Maximum number of label values; more of them are probably instance ids or intensities."""

MIN_INSTANCES = 8
"""Label values probably are instance ids if they count up to this number or more in some file, and
to different numbers in different files."""


def usual_axes_and_channels(cases: tuple[CaseFiles, ...]) -> tuple[int, int]:
    """Return the most frequent number of image axes and of channels in a sample of the cases.

    Raises:
        DatasetError: If no case in the sample can be read.
    """
    step = max(1, len(cases) // SAMPLED_CASES)
    counts: list[tuple[int, int]] = []
    issue = ""
    for case in cases[::step]:
        try:
            headers = [read_header(path) for path in case.images]
        except CaseError as error:
            issue = str(error)
            continue
        counts.append((len(headers[0].shape), sum(header.num_channels for header in headers)))
    if not counts:
        raise DatasetError(f"no image can be read, for example: {issue}")
    return Counter(counts).most_common(1)[0][0]


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
    """

    values: tuple[int, ...]
    per_file: tuple[tuple[int, ...], ...]

    @property
    def are_masks_of_two_depths(self) -> bool:
        """Whether some files are masks of 0 and 1, and the others masks of 0 and 255."""
        is_mixed = set(self.values) == {0, 1, 255}
        return is_mixed and not any({1, 255} <= set(file) for file in self.per_file)

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
            f"at most {most} undeclared classes. If they are instance ids, set them "
            "all to 1. If they are classes, list them with --label-map, or declare them in a "
            'dataset.json next to the folders: {"labels": {"background": 0, "cell": 1}}.'
        )
    return found


def found_values(outcomes: Iterable[Success[tuple[int, ...]] | Failure]) -> FoundValues:
    """Combine the values of label files; unreadable files are skipped.

    Raises:
        DatasetError: If no file can be read.
    """
    per_file: list[tuple[int, ...]] = []
    issue = "there are none"
    for outcome in outcomes:
        if isinstance(outcome, Success):
            per_file.append(outcome.value)
        else:
            issue = outcome.message
    values = sorted({value for file in per_file for value in file})
    if not values:
        raise DatasetError(f"no label file can be read, for example: {issue}")
    return FoundValues(tuple(values), tuple(per_file))


def _values_in(path: Path) -> tuple[int, ...]:
    return tuple(sorted(label_counts(read_labels(path).values)))
