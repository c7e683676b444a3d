"""Decide which label files of a case to use, and how they store the classes."""

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.mask_form import MaskForm
from autoseg.datasets.recognition.contents import BRIGHTEST, Content
from autoseg.datasets.recognition.file_forms import form_of_contents
from autoseg.datasets.recognition.keys import Key
from autoseg.datasets.recognition.label_series import (
    OBJECT_WORDS,
    SAMPLED,
    SECONDARY_WORDS,
    LabelSeries,
    join_series,
    label_series,
    sampled,
    without_ids,
)
from autoseg.datasets.recognition.overlaps import are_annotations, is_union_of_classes
from autoseg.datasets.recognition.pairing import Joined
from autoseg.datasets.recognition.tokens import is_id

Form = MaskForm | Literal["polygons", "dicom", "segments", "signed", "merged", "layers"]

LEAST_CASES = 3
"""Least number of cases from whose names objects are distinguished from classes."""

MOST_SUGGESTED = 10
"""Most patterns that a message lists."""

READ_ALL = {
    "classes": "--mask classes if each kind of file is a class",
    "objects": "--mask objects if each file is an object of one class",
    "values": "--mask values if all files hold the same classes",
}
"""Ways to use all label files of a case."""


@dataclass(frozen=True)
class LabelForm:
    """How the label files of a dataset store the classes.

    Attributes:
        form: `values`: one file with a value per class, used as it is. All others are converted:
            `threshold`: one file, foreground above `threshold`; `colours`: one file with a colour
            per class; `onehot`: one file with a channel per class; `instances`: one file that
            numbers objects, all of one class; `classes`: a file per class; `objects`: a file per
            object, all of one class; `polygons`: shapes in an annotation file; `dicom`:
            segments or contours in DICOM files; `segments`: one file whose header names the
            classes; `signed`: one file with a value per class, and -1 for voxels without
            annotation; `merged`: files of the same classes with a value per class; `layers`: one
            file with a mask per class.
        files: Value of the label files to use, by the tokens that images lack: 1, 2 … for a file
            per class, otherwise 1. Other files are left out.
        names: Name of each class value; empty if the values are to be read from the files.
        threshold: Values above are foreground.
        colours: Colours of the values 0, 1, 2 …
        lookup: Pairs of a value in the files, or the number of a colour, and its value in the label
            map; empty if values stay.
        drawn: Value in the label map of each name in files of shapes or segments; other names are
            left out. If empty, all of `names` are drawn.
        notes: Sentences on what was decided.
    """

    form: Form
    files: dict[Key, int] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    threshold: float = 0.0
    colours: tuple[tuple[int, ...], ...] = ()
    lookup: tuple[tuple[int, int], ...] = ()
    drawn: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def drawn_values(self) -> dict[str, int]:
        """Value in the label map of each name in files of shapes or segments."""
        return self.drawn or {name: value for value, name in self.names.items()}


def form_of_files(
    paths: Sequence[Path], mask: MaskForm | None = None, *, are_declared: bool = False
) -> LabelForm:
    """Find out how label files store the classes, if there is one per case.

    Args:
        paths: The label files.
        mask: Form of the labels that the user has chosen.
        are_declared: Whether several classes are known by their values; see `choose_labels`.

    Raises:
        DatasetError: If several answers are possible, with the options that choose one.
    """
    return _of_one_file(mask, lambda most: sampled(paths, most), are_declared=are_declared)


def choose_labels(
    cases: Sequence[Joined],
    root: Path,
    mask: MaskForm | None = None,
    *,
    are_declared: bool = False,
) -> LabelForm:
    """Decide which label files hold the classes, and how.

    Args:
        cases: Cases with images and labels.
        root: Folder of the dataset.
        mask: Form of the labels that the user has chosen.
        are_declared: Whether a file of the dataset lists several classes, so that numbers in label
            files are not those of objects.

    Raises:
        DatasetError: If several answers are possible, with the options that choose one.
    """
    series = label_series(cases, root)
    if mask == "objects":
        return _objects(series)
    if mask == "classes":
        return _per_class(join_series(series, without_ids) or series)
    _check_has_classes(series, len(cases))
    rules = (_is_secondary, _is_of_objects, _is_field_of_view)
    series, notes = _left_out(series, rules)
    joined = _joined(series, len(cases), mask)
    if joined is None:
        return _objects(series)
    kept, more_notes = _left_out(joined, (_repeats_classes,))
    if len(kept) == 1:
        chosen = _of_one_file(mask, kept[0].sample, are_declared=are_declared)
        chosen = replace(chosen, files=dict.fromkeys(kept[0].keys, 1))
    elif mask == "values" and not _are_binary(kept):
        keys = dict.fromkeys((key for one in kept for key in one.keys), 1)
        note = "the label files of a case are merged by their values; of several, the smaller one"
        chosen = LabelForm("merged", keys, notes=(note,))
    else:
        _check_classes(kept, len(cases), mask)
        chosen = _per_class(kept)
    return replace(chosen, notes=(*notes, *more_notes, *chosen.notes))


def _joined(
    series: list[LabelSeries], num_cases: int, mask: MaskForm | None
) -> list[LabelSeries] | None:
    """Join series that differ in ids, or of which each case has one; None if they are objects.

    Raises:
        DatasetError: If files per case may be objects or classes.
    """
    files = sum(len(one.files) for one in series)
    own = sum(len(one.files) == 1 and any(map(is_id, one.key)) for one in series)
    joined = join_series(series, without_ids)
    if joined is None:
        if mask == "values":
            return series
        words = [without_ids(one.key) for one in series]
        are_objects = own > 0.5 * files and len(set(words)) == 1 and num_cases >= LEAST_CASES
        if are_objects and _are_binary(series):
            return None
        if own > 0.5 * files or words.count(()) > 1:  # numbers say nothing, next to words or not
            raise _ambiguous(series, num_cases, ("classes", "objects"))
        return series
    numbers = [number for one in joined for number in one.files]
    if len(joined) < 2 or len(numbers) > len(set(numbers)):
        return joined
    is_name_of_case = all(len(one.files) == 1 for one in joined) and len(joined) >= LEAST_CASES
    if not is_name_of_case and mask is None:
        raise _ambiguous(joined, num_cases, ("classes", "values"))
    return join_series(joined, lambda _key: ())


def _left_out(
    series: list[LabelSeries], rules: Sequence[Callable[[LabelSeries, list[LabelSeries]], bool]]
) -> tuple[list[LabelSeries], tuple[str, ...]]:
    """Leave out series that fit a rule, unless all do; return the others and a sentence."""
    kept = series
    for rule in rules:
        kept = [one for one in kept if not rule(one, kept)] or kept
    left_out = [one.example for one in series if one not in kept]
    if not left_out:
        return kept, ()
    note = f"left out, because other files hold the classes: files like {format_names(left_out)}"
    return kept, (note,)


def _check_has_classes(series: list[LabelSeries], num_cases: int) -> None:
    """Check that there are other label files than drawings and numbered objects, if both exist.

    Raises:
        DatasetError: If there are none: the drawings may show classes.
    """
    drawn = [one for one in series if one.words & SECONDARY_WORDS]
    of_objects = [one for one in series if one not in drawn and one.path_words & OBJECT_WORDS]
    if drawn and of_objects and len(drawn) + len(of_objects) == len(series):
        raise _ambiguous(series, num_cases, ())


def _is_secondary(series: LabelSeries, _others: list[LabelSeries]) -> bool:
    return bool(series.words & SECONDARY_WORDS)


def _is_of_objects(series: LabelSeries, _others: list[LabelSeries]) -> bool:
    return bool(series.words & OBJECT_WORDS)


def _is_field_of_view(series: LabelSeries, others: list[LabelSeries]) -> bool:
    """Return True for masks of all cases that hardly differ, if there are others."""
    most = max(len(one.files) for one in others)
    return len(others) > 1 and len(series.files) == most and series.is_field_of_view


def _repeats_classes(series: LabelSeries, others: list[LabelSeries]) -> bool:
    """Return True for masks that repeat classes of the only label maps, which all cases have."""
    if len(others) < 2 or not series.is_binary:
        return False
    maps = [one for one in others if not one.is_binary]
    return (
        len(maps) == 1
        and maps[0].files.keys() >= series.files.keys()
        and is_union_of_classes(series, maps[0])
    )


def _objects(series: Sequence[LabelSeries]) -> LabelForm:
    """Return the form of a file per object."""
    note = f"a file per object, {series[0].example} and others; all objects are one class"
    keys = dict.fromkeys((key for one in series for key in one.keys), 1)
    return LabelForm("objects", keys, {0: "background", 1: "object"}, notes=(note,))


def _per_class(series: Sequence[LabelSeries]) -> LabelForm:
    """Return the form of a file per class."""
    ordered = sorted(series, key=lambda one: one.name)
    files = {key: value for value, one in enumerate(ordered, start=1) for key in one.keys}
    names = {0: "background"} | {value: one.name for value, one in enumerate(ordered, start=1)}
    note = "a label file per class; a case without the file of a class has none of it"
    return LabelForm("classes", files, names, notes=(note,))


def _check_classes(series: list[LabelSeries], num_cases: int, mask: MaskForm | None) -> None:
    """Check that label files may be masks of one class each.

    Raises:
        DatasetError: If they hold several classes, or may be annotations of the same structures,
            or the user has chosen a form of one file per case.
    """
    if mask is not None:
        raise _ambiguous(series, num_cases, ("classes", "objects"))
    if not all(one.is_binary for one in series):
        raise _ambiguous(series, num_cases, ())
    if are_annotations(series):
        raise _ambiguous(series, num_cases, ("classes",))


def _are_binary(series: Sequence[LabelSeries]) -> bool:
    """Return True if label files may be masks of one class, so far as some of them show."""
    return all(one.is_binary for one in series[:MOST_SUGGESTED])


def _ambiguous(series: Sequence[LabelSeries], num_cases: int, ways: Sequence[str]) -> DatasetError:
    """Return the error for label files that can be read in several ways, with the options."""
    ways = ways if _are_binary(series) else ("values",)
    counts: Counter[str] = Counter()
    for one in series:
        counts[one.pattern] += len(one.files)
    examples = "\n".join(
        f"  {format_count(number, 'file')}: --label {shlex.quote(pattern)}"
        for pattern, number in counts.most_common(MOST_SUGGESTED)
    )
    advice = "".join(f", or use all: {READ_ALL[way]}" for way in ways[:1])
    advice += "".join(f", {READ_ALL[way]}" for way in ways[1:])
    choice = "one with its option" if len(counts) > 1 else "files with a narrower pattern"
    return DatasetError(
        f"{format_count(num_cases, 'case')} with label files of several kinds, which may be "
        f"annotations of different people, different structures, or versions:\n{examples}\n"
        f"Choose {choice}{advice}."
    )


def _of_one_file(
    mask: MaskForm | None, sample: Callable[[int], list[Content]], *, are_declared: bool
) -> LabelForm:
    """Return the form of labels of one file per case, with its classes."""
    contents = sample(SAMPLED)
    if mask is None and any(content.segments for content in contents):
        return LabelForm("segments")
    form = mask or form_of_contents(sample, are_declared=are_declared)
    if form == "onehot":
        return _of_channels(contents)
    if form == "instances":
        note = "labels number the objects; all objects are one class"
        return LabelForm("instances", names={0: "background", 1: "object"}, notes=(note,))
    if form == "threshold":
        least = min((float(content.values[0]) for content in contents), default=0)
        greatest = max((float(content.values[-1]) for content in contents), default=1)
        middle = (least + greatest) / 2
        reason = (
            "--mask threshold"
            if mask
            else "labels have blurred or compressed edges, as of a mask that was saved as JPEG"
        )
        note = f"{reason}: values above {middle:g} are foreground"
        is_8_bit = greatest == BRIGHTEST  # the classes keep the values that the files show
        names = {0: "background", BRIGHTEST if is_8_bit else 1: "foreground"}
        return LabelForm("threshold", names=names, threshold=middle, notes=(note,))
    return LabelForm(form)


def _of_channels(contents: Sequence[Content]) -> LabelForm:
    """Return the form of a channel per class: of masks, unless one of them is the background."""
    are_masks = bool(contents) and all(content.are_masks for content in contents)
    has_background = not are_masks or any(content.is_one_hot for content in contents)
    number = max((len(content.voxels) for content in contents), default=2)
    values = range(1, number + (0 if has_background else 1))
    names = {0: "background"} | {value: f"label_{value}" for value in values}
    background = "the first is the background" if has_background else "none is the background"
    note = f"labels have a channel per class ({number} channels), {background}"
    return LabelForm("onehot" if has_background else "layers", names=names, notes=(note,))
