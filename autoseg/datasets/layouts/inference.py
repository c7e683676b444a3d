"""Infer from the files what no description declares: axes, channels, label values."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.parallel import Success, run_each
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


def values_in_files(paths: Iterable[Path], *, workers: int, are_named: bool = False) -> FoundValues:
    """Return the label values that occur in the files; unreadable files are skipped.

    Args:
        paths: Label files.
        workers: Number of processes that read them.
        are_named: Whether all values are known to be classes.

    Raises:
        DatasetError: If no file can be read, or there are more than `MAX_LABEL_VALUES` values that
            may be instances.
    """
    per_file: list[tuple[int, ...]] = []
    issue = "there are none"
    for outcome in run_each(_values_in, list(paths), workers=workers):
        if isinstance(outcome, Success):
            per_file.append(outcome.value)
        else:
            issue = outcome.message
    values = sorted({value for file in per_file for value in file})
    if not values:
        raise DatasetError(f"no label file can be read, for example: {issue}")
    if len(values) > MAX_LABEL_VALUES and not are_named:
        raise DatasetError(
            f"the label files contain {len(values)} different values, up to {values[-1]}; expected "
            f"at most {MAX_LABEL_VALUES} undeclared classes. If they are instance ids, set them "
            "all to 1. If they are classes, declare them in a dataset.json next to the folders: "
            '{"labels": {"background": 0, "cell": 1}}.'
        )
    return FoundValues(tuple(values), tuple(per_file))


def _values_in(path: Path) -> tuple[int, ...]:
    return tuple(sorted(label_counts(read_labels(path).values)))
