"""What no description says is taken from the files: axes, channels, label values."""

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
"""Headers read to tell the usual number of axes and channels; odd ones out are found later."""

MOST_LABEL_VALUES = 64
"""More distinct values than this are taken for instance numbers or an image, not for classes."""

FEWEST_OBJECTS = 8
"""Files whose values count up to this or more, each as far as it likes, seem to number objects."""


def usual_axes_and_channels(cases: tuple[CaseFiles, ...]) -> tuple[int, int]:
    """Return the number of image axes and of channels that most of some sampled cases have.

    Raises:
        DatasetError: If none of them can be read.
    """
    step = max(1, len(cases) // SAMPLED_CASES)
    found: list[tuple[int, int]] = []
    issue = ""
    for case in cases[::step]:
        try:
            headers = [read_header(path) for path in case.images]
        except CaseError as error:
            issue = str(error)
            continue
        found.append((headers[0].num_axes, sum(header.num_channels for header in headers)))
    if not found:
        msg = f"no image can be read, for instance: {issue}"
        raise DatasetError(msg)
    return Counter(found).most_common(1)[0][0]


@dataclass(frozen=True)
class FoundValues:
    """Label values that occur in files.

    Attributes:
        values: Of all files, ascending.
        per_file: Those of each readable file, ascending.
    """

    values: tuple[int, ...]
    per_file: tuple[tuple[int, ...], ...]

    @property
    def look_like_object_numbers(self) -> bool:
        """Whether each file counts from 1 on without a gap, some of them far, and not all alike.

        Parts of the body are mostly all there, or lack any of their numbers.
        """
        foreground = [tuple(value for value in file if value != 0) for file in self.per_file]
        counts = [len(file) for file in foreground]
        without_gap = all(file == tuple(range(1, len(file) + 1)) for file in foreground)
        return without_gap and max(counts) >= FEWEST_OBJECTS and min(counts) < max(counts)


def values_in_files(paths: Iterable[Path], *, workers: int) -> FoundValues:
    """Return the label values that occur in the readable ones of the files.

    Raises:
        DatasetError: If none can be read, or there are too many values to be classes.
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
        msg = f"no label file can be read, for instance: {issue}"
        raise DatasetError(msg)
    if len(values) > MOST_LABEL_VALUES:
        msg = (
            f"the label files hold {len(values)} different values, up to {values[-1]}; at most "
            f"{MOST_LABEL_VALUES} are taken for classes without being declared. If they number "
            "single objects, set them all to 1; if they are classes, list them in a dataset.json "
            'beside the folders: {"labels": {"background": 0, "cell": 1}}.'
        )
        raise DatasetError(msg)
    return FoundValues(tuple(values), tuple(per_file))


def _values_in(path: Path) -> tuple[int, ...]:
    return tuple(sorted(label_counts(read_labels(path).values)))
