"""Decide which label files of a case to use, and how they store the classes."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from autoseg.core.arrays import MaskArray
from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.contents import MAX_CLASSES, Content, content_of, number_objects
from autoseg.datasets.recognition.pairing import Joined, Key, Named
from autoseg.datasets.recognition.patterns import suggest_pattern
from autoseg.datasets.recognition.tokens import is_id, word_set
from autoseg.documents.dataset import MaskForm

Form = MaskForm | Literal["classes", "objects", "polygons"]

SAMPLED = 3
"""Number of files of a series that are read to decide how it stores labels."""

DRAWN_WORDS = word_set(
    """
    color colors colour colours rgb overlay overlays preview vis
    """
)
"""Words of label files that are made to be looked at."""

OBJECT_WORDS = word_set(
    """
    instance instances inst object objects obj
    """
)
"""Words of label files that number or hold single objects."""

RATER_WORDS = word_set(
    """
    rater raters reader readers annotator annotators observer observers expert experts
    grader graders st nd rd th maj and or staple consensus majority
    """
)
"""Words that tell apart the annotations of several persons, and ways to merge them."""

ALIKE = 0.6
"""Least Dice of two masks of the same image that are annotations of the same structure."""

UNCHANGED = 0.97
"""Least Dice of masks of different images that mark the field of view."""

LEAST_VIEW = 0.25
"""Least share of an image that a mask of the field of view covers."""


@dataclass(frozen=True)
class LabelForm:
    """How the label files of a dataset store the classes.

    Attributes:
        form: `values`: one file with a value per class, used as it is. All others are converted:
            `threshold`: one file, foreground above `threshold`; `colours`: one file with a colour
            per class; `onehot`: one file with a channel per class; `instances`: one file that
            numbers objects, all of one class; `classes`: a file per class; `objects`: a file per
            object, all of one class; `polygons`: shapes in a JSON file.
        series: Label files to use, by the tokens that images lack, in the order of the values 1,
            2 …; files of other series are left out.
        names: Name of each class value; empty if the values are to be read from the files.
        threshold: Values above are foreground.
        colours: Colours of the values 0, 1, 2 …
        notes: Sentences on what was decided.
    """

    form: Form
    series: tuple[Key, ...]
    names: dict[int, str] = field(default_factory=dict)
    threshold: float = 0.0
    colours: tuple[tuple[int, ...], ...] = ()
    notes: tuple[str, ...] = ()


class LabelSeries:
    """The label files of all cases that have the same tokens in addition to those of their image.

    Args:
        key: The tokens.
        files: A file per case that has one, in the order of the cases.
        case: Tokens of the first case.
        root: Folder of the dataset.
    """

    def __init__(self, key: Key, files: Sequence[Named], case: Key, root: Path) -> None:
        self.key, self.files, self._case, self._root = key, files, case, root

    @property
    def words(self) -> frozenset[str]:
        """All words of the tokens."""
        return frozenset(self.key)

    @property
    def name(self) -> str:
        """Name of the class, if there is a file per class: from the folder, or from the file."""
        folders = [token for token in self.files[0].words.folder_key if token in self.key]
        return " ".join(folders or self.key) or "foreground"

    @property
    def pattern(self) -> str:
        """Pattern of the paths."""
        return suggest_pattern(self.files[0], self._case)

    @property
    def example(self) -> str:
        """Path of the first file, relative to the dataset."""
        return self.files[0].item.path.as_posix()

    def path(self, number: int) -> Path:
        """Return the path of a file."""
        return self._root / self.files[number].item.path

    @property
    def contents(self) -> list[Content]:
        """Voxels of a few files that can be read, evenly spaced among the cases."""
        places = np.linspace(0, len(self.files) - 1, min(SAMPLED, len(self.files))).round()
        found = [_content(self.path(int(place))) for place in places]
        return [content for content in found if content is not None]

    @property
    def is_binary(self) -> bool:
        """Whether the files have at most two values, or nearly so."""
        return all(
            content.is_grey and (len(content.values) <= 2 or content.is_nearly_binary)
            for content in self.contents
        )

    @property
    def is_field_of_view(self) -> bool:
        """Whether the masks hardly differ between images and cover most of them."""
        masks = [content.voxels[0] > 0 for content in self.contents]
        if len(masks) < 2 or not self.is_binary or any(m.shape != masks[0].shape for m in masks):
            return False
        same = all(overlap(mask, masks[0]) >= UNCHANGED for mask in masks[1:])
        return same and bool(np.mean(masks[0]) >= LEAST_VIEW)


@lru_cache(maxsize=64)
def _content(path: Path) -> Content | None:
    return content_of(path)


def form_of_files(paths: Sequence[Path]) -> LabelForm:
    """Find out how label files store the classes, if there is one per case."""
    step = max(1, len(paths) // SAMPLED)
    found = [content for path in paths[::step] if (content := _content(path)) is not None]
    return _described(_form_of(found), found, ((),))


def choose_labels(cases: Sequence[Joined], root: Path, mask: MaskForm | None = None) -> LabelForm:
    """Decide which label files hold the classes, and how.

    Args:
        cases: Cases with images and labels.
        root: Folder of the dataset.
        mask: Form of the labels that the user has chosen.

    Raises:
        DatasetError: If several answers are possible, with the options that choose one.
    """
    series = label_series(cases, root)
    if mask is None and _are_objects(series, cases):
        notes: tuple[str, ...] = (
            f"a file per object, {series[0].example} and others; all objects are one class",
        )
        return LabelForm("objects", (), {0: "background", 1: "object"}, notes=notes)
    kept, notes = _without_drawings(series, len(cases))
    if len(kept) == 1:
        contents = kept[0].contents
        chosen = _described(mask or _form_of(contents), contents, (kept[0].key,))
    else:
        chosen = _per_class(kept, len(cases))
    return LabelForm(**(vars(chosen) | {"notes": (*notes, *chosen.notes)}))


def label_series(cases: Sequence[Joined], root: Path) -> list[LabelSeries]:
    """Group the label files of all cases by the tokens that their images lack."""
    files: dict[Key, list[Named]] = {}
    first: dict[Key, Key] = {}
    for case in cases:
        for key, found in case.labels.items():
            files.setdefault(key, []).extend(found)
            first.setdefault(key, case.key)
    return [LabelSeries(key, found, first[key], root) for key, found in sorted(files.items())]


def _are_objects(series: Sequence[LabelSeries], cases: Sequence[Joined]) -> bool:
    """Return True if nearly every label file has an id of its own."""
    files = sum(len(one.files) for one in series)
    own = sum(len(one.files) == 1 and any(map(is_id, one.key)) for one in series)
    return files > len(cases) and own > 0.5 * files


def _without_drawings(
    series: list[LabelSeries], num_cases: int
) -> tuple[list[LabelSeries], tuple[str, ...]]:
    """Leave out series that repeat another one, and masks of the field of view."""
    kept = series
    for is_repeated in (_is_drawn, _is_of_objects, _is_field_of_view, _is_of_one_class):
        others = [one for one in kept if not is_repeated(one, kept, num_cases)]
        kept = others or kept
    left_out = [one.example for one in series if one not in kept]
    if not left_out:
        return kept, ()
    note = f"left out, because other files hold the classes: files like {format_names(left_out)}"
    return kept, (note,)


def _is_drawn(series: LabelSeries, _others: Sequence[LabelSeries], _num_cases: int) -> bool:
    return bool(series.words & DRAWN_WORDS)


def _is_of_objects(series: LabelSeries, _others: Sequence[LabelSeries], _num_cases: int) -> bool:
    return bool(series.words & OBJECT_WORDS)


def _is_field_of_view(series: LabelSeries, others: Sequence[LabelSeries], _num_cases: int) -> bool:
    return len(others) > 1 and series.is_field_of_view


def _is_of_one_class(series: LabelSeries, others: Sequence[LabelSeries], num_cases: int) -> bool:
    """Return True for masks if one other series has several classes, for all cases."""
    if len(others) < 2 or not series.is_binary:
        return False
    maps = [one for one in others if not one.is_binary]
    return len(maps) == 1 and len(maps[0].files) >= num_cases


def _described(form: MaskForm, contents: Sequence[Content], keys: tuple[Key, ...]) -> LabelForm:
    """Return the form of labels of one file per case, with its classes."""
    if form == "onehot":
        channels = max((len(content.voxels) for content in contents), default=2)
        names = {value: f"label_{value}" for value in range(channels)} | {0: "background"}
        note = f"labels have a channel per class ({channels} channels), the first is the background"
        return LabelForm("onehot", keys, names, notes=(note,))
    if form == "instances":
        note = "labels number the objects; all objects are one class"
        return LabelForm("instances", keys, {0: "background", 1: "object"}, notes=(note,))
    if form == "threshold":
        least = min(float(content.values[0]) for content in contents)
        greatest = max(float(content.values[-1]) for content in contents)
        middle = (least + greatest) / 2
        note = (
            "labels have blurred or compressed edges, as of a mask that was saved as JPEG: values "
            f"above {middle:g} are foreground"
        )
        names = {0: "background", 1: "foreground"}
        return LabelForm("threshold", keys, names, threshold=middle, notes=(note,))
    return LabelForm(form, keys)


def _form_of(contents: Sequence[Content]) -> MaskForm:
    """Return the form of label files of which some were read."""
    if any(content.is_one_hot for content in contents):
        return "onehot"
    if contents and number_objects(contents):
        return "instances"
    if any(content.is_nearly_binary for content in contents):
        return "threshold"
    return "values" if all(content.is_grey for content in contents) else "colours"


def _per_class(series: list[LabelSeries], num_cases: int) -> LabelForm:
    """Return the form of a file per class.

    Raises:
        DatasetError: If the files may be several annotations of the same structures.
    """
    if not all(one.is_binary for one in series) or _are_annotations(series):
        examples = "\n".join(
            f"  {format_count(len(one.files), 'file')}: --label {shlex.quote(one.pattern)}"
            for one in series[:MAX_CLASSES]
        )
        raise DatasetError(
            f"{format_count(num_cases, 'case')} with several label files each, which may be "
            f"annotations of different people or of different kinds:\n{examples}\n"
            "Choose one with its option."
        )
    names = {0: "background"}
    for one in sorted(series, key=lambda one: one.name):
        names[len(names)] = one.name
    ordered = sorted(series, key=lambda one: one.name)
    note = "a label file per class; a case without the file of a class has none of it"
    return LabelForm("classes", tuple(one.key for one in ordered), names, notes=(note,))


def _are_annotations(series: Sequence[LabelSeries]) -> bool:
    """Return True if masks of the same image mostly mark the same voxels, or words say it."""
    if all(one.words & RATER_WORDS for one in series):
        return True
    masks = [content.voxels[0] > 0 for one in series for content in one.contents[:1]]
    overlaps = [
        overlap(a, b)
        for a, b in combinations(masks, 2)
        if a.shape == b.shape and a.any() and b.any()
    ]
    return min(overlaps, default=0.0) >= ALIKE


def overlap(first: MaskArray, second: MaskArray) -> float:
    """Return the Dice of two masks of equal shape; 1 if both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int(np.sum(first & second)) / total if total else 1.0


def colours_in(paths: Sequence[Path]) -> Counter[tuple[int, ...]]:
    """Count the files in which each colour occurs; unreadable files are skipped.

    Raises:
        DatasetError: If there are more than `MAX_CLASSES` colours.
    """
    counts: Counter[tuple[int, ...]] = Counter()
    for path in paths:
        content = content_of(path)
        if content is not None:
            counts.update(tuple(map(int, colour)) for colour in content.colours)
        if len(counts) > MAX_CLASSES:
            msg = (
                f"the label files have more than {MAX_CLASSES} colours, for example {path}; "
                "expected a colour per class. Export the labels without smoothing, as .png."
            )
            raise DatasetError(msg)
    return counts
