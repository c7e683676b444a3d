"""Convert label files of any form to one label map per case, and name the classes."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_lines, format_names
from autoseg.core.labels import LabelScheme
from autoseg.core.parallel import Success, run_each
from autoseg.datasets.issues import CaseIssue
from autoseg.datasets.layouts.declared_labels import BACKGROUND, IGNORE, DeclaredLabels
from autoseg.datasets.layouts.found_labels import found_labels
from autoseg.datasets.layouts.inference import (
    FoundValues,
    Reading,
    found_values,
    values_in_files,
)
from autoseg.datasets.layouts.label_map import LabelMap
from autoseg.datasets.recognition.assembly import LabelParts, assemble, assembled_values
from autoseg.datasets.recognition.class_tables import ClassTable, Colour
from autoseg.datasets.recognition.contents import (
    MAX_CLASSES,
    has_foreground,
)
from autoseg.datasets.recognition.file_forms import colours_in, numbers_in_colours
from autoseg.datasets.recognition.label_forms import LabelForm
from autoseg.datasets.recognition.segment_classes import has_segment, segment_form
from autoseg.documents.dataset import CaseFiles
from autoseg.readers import stem_of

MASKS_OF_TWO_DEPTHS = LabelForm(
    "threshold",
    names={0: BACKGROUND, 1: "foreground"},
    threshold=0.5,
    notes=("some masks have the values 0 and 1, others 0 and a brighter one, the same class",),
)
"""Form of masks of 1 bit and of 8 or 16 bits in one dataset."""


SIGNED = LabelForm("signed", notes=("-1 in label files is written as 65535",))
"""Form of label maps in which -1 marks voxels without annotation."""

MOST_LISTED = 2**16
"""Most values of label files whose classes are listed."""

OF_ONE_CLASS = ("threshold", "instances", "objects")
"""Forms of one class and the background."""


@dataclass(frozen=True)
class LabelSources:
    """The label files of a dataset.

    Attributes:
        form: How they store the classes.
        parts: Label files of each case, by its name.
        table: Names or colours of the classes.
        declared: Labels declared in a dataset.json.
        label_map: Classes that the user has listed, which replace all others.
    """

    form: LabelForm
    parts: dict[str, LabelParts]
    table: ClassTable = field(default_factory=ClassTable)
    declared: DeclaredLabels | None = None
    label_map: LabelMap | None = None


@dataclass(frozen=True)
class ConvertedLabels:
    """Cases with one label map each.

    Attributes:
        cases: Cases whose label map exists or was made.
        labels: The classes.
        source: Where the names of the classes are from.
        issues: Issues of the other cases.
        notes: Sentences on the conversion.
        are_converted: Whether the label maps are made from other files.
    """

    cases: tuple[CaseFiles, ...]
    labels: LabelScheme
    source: str
    issues: tuple[CaseIssue, ...] = ()
    notes: tuple[str, ...] = ()
    are_converted: bool = True


def convert_labels(
    cases: Sequence[CaseFiles], sources: LabelSources, reading: Reading
) -> ConvertedLabels:
    """Make a label map for each case, unless its label file is one already.

    Args:
        cases: The cases.
        sources: Their label files.
        reading: How label files are read; with a sample, the cases keep their label files.

    Raises:
        DatasetError: If a label map would have to be made without a folder for it, no label file
            can be read, or the label map of the user does not fit.
    """
    first, sources = sources.form, _with_segments(sources)
    form, label_map = sources.form, sources.label_map
    if label_map is not None:
        form = label_map.applied(form)
    elif form.form == "values" and sources.declared and sources.declared.background is not None:
        labels = _declared_scheme(sources.declared, ())
        return ConvertedLabels(tuple(cases), labels, "dataset.json", are_converted=False)
    found = _values_as_they_are(cases, sources, reading) if form.form == "values" else None
    if found is not None and label_map is None and (needed := _needed_form(found)):
        form, found = needed, None
    if found is not None and (label_map is None or label_map.is_unchanged):
        labels, source, notes = _scheme(found, form, sources, reading)
        return ConvertedLabels(tuple(cases), labels, source, notes=notes, are_converted=False)
    form = _with_colours(sources, form, reading) if form.form == "colours" else form
    return _converted(cases, replace(sources, form=form), reading, _new_notes(form, first))


def _needed_form(found: FoundValues) -> LabelForm | None:
    """Return the form of label files of a value per class that must be converted; None if not.

    Raises:
        DatasetError: If there is a value of -1 that does not mark voxels without annotation.
    """
    if found.values[0] < 0 and found.void is None:
        raise DatasetError(
            f"the label files have the values {format_names(list(map(str, found.values)))}; "
            "expected values of 0 or more, and -1 for voxels without annotation only next to 0, 1 "
            "and further values without a gap. Export the labels with values of 0 or more."
        )
    if found.values[0] < 0:
        return SIGNED
    return MASKS_OF_TWO_DEPTHS if found.are_masks_of_two_depths else None


def _new_notes(form: LabelForm, first: LabelForm) -> tuple[str, ...]:
    return form.notes if form.notes != first.notes else ()


def _values_as_they_are(
    cases: Sequence[CaseFiles], sources: LabelSources, reading: Reading
) -> FoundValues:
    """Return the values of label files with a value per class.

    Raises:
        DatasetError: If no file can be read, or a value is not listed in the label map of the user.
    """
    paths = [case.labels for case in cases]
    if sources.label_map is None:
        return values_in_files(paths, reading)
    found = values_in_files(paths, reading, most=MOST_LISTED)
    sources.label_map.check_found([(value,) for value in found.values])
    return found


def _converted(
    cases: Sequence[CaseFiles], sources: LabelSources, reading: Reading, notes: tuple[str, ...]
) -> ConvertedLabels:
    """Convert the label files of all cases, or look at a sample of them.

    Raises:
        DatasetError: If two cases have the same name, and so would have their label maps.
    """
    form, parts = sources.form, sources.parts
    names = Counter(case.name for case in cases)
    if repeated := [name for name, count in names.items() if count > 1]:
        raise DatasetError(
            f"training and test cases have the same name: {format_names(repeated)}. Their labels "
            "have to be converted, which needs different names: rename the test cases."
        )
    if reading.sample is not None:
        sample = [parts[case.name] for case in reading.chosen(cases)]
        work = partial(assembled_values, form=form)
        found = found_values(run_each(work, sample, workers=reading.workers))
        labels, source, more = _scheme(found, form, sources, reading)
        return ConvertedLabels(tuple(cases), labels, source, (), (*notes, *more))
    if reading.label_maps is None:
        raise DatasetError(
            "the labels of this dataset have to be converted, which needs a work folder. Run "
            "`autoseg plan DATASET`, and use the label maps in its work folder."
        )
    made, issues = _assembled(cases, sources, reading.label_maps, reading.workers)
    if not made:
        raise DatasetError(f"no label file can be converted, for example: {issues[0].sentence}")
    found = values_in_files([case.labels for case in made], reading, most=MOST_LISTED)
    _check_covered(found.values, form, parts.values(), reading.workers)
    labels, source, more = _scheme(found, form, sources, reading)
    return ConvertedLabels(made, labels, source, issues, (*notes, *more))


def _call(check: Callable[[], bool]) -> bool:
    return check()


def _with_segments(sources: LabelSources) -> LabelSources:
    """Complete the classes of label files that name them; other sources are returned unchanged."""
    if sources.form.form != "segments":
        return sources
    paths = [path for parts in sources.parts.values() for _, path in parts.files]
    declared = sources.declared
    names = {} if declared is None else dict(declared.names)
    if declared is not None and declared.ignore is not None:
        names[declared.ignore] = IGNORE
    form = segment_form(paths, names)
    return replace(sources, form=replace(form, files=sources.form.files))


def _check_covered(
    found: tuple[int, ...], form: LabelForm, parts: Iterable[LabelParts], workers: int
) -> None:
    """Check that other classes do not cover all voxels of a class with files of its own.

    Raises:
        DatasetError: If they do.
    """
    absent = form.names.keys() - {0, *found}
    everything = [file for one in parts for file in one.files]
    files = [file for file in everything if file[0] in absent] if form.form == "classes" else []
    checks: list[Callable[[], bool]] = [partial(has_foreground, path) for _, path in files]
    if form.form == "segments":
        files = [(value, path) for value in sorted(absent) for _, path in everything]
        checks = [partial(has_segment, path, form.names[value]) for value, path in files]
    for outcome in run_each(_call, checks, workers=workers):
        if isinstance(outcome, Success) and outcome.value:
            value, path = files[outcome.index]
            raise DatasetError(
                f"other classes cover all voxels of the class {form.names[value]}, for example of "
                f"{path}, so that the label files may mark the same structure. Choose those to use "
                "with --label."
            )


def _with_colours(sources: LabelSources, form: LabelForm, reading: Reading) -> LabelForm:
    """Complete the colours of a form: from the user or a table, otherwise from the files.

    Raises:
        DatasetError: If the files have too many colours, or one that is not listed, or it is
            unclear which colour is the background.
    """
    table, label_map = sources.table, sources.label_map
    files = [path for parts in sources.parts.values() for _, path in parts.files]
    most = MAX_CLASSES + len(form.colours or table.colours)
    counts = colours_in(reading.chosen(files), most, workers=reading.workers)
    if label_map is not None:
        label_map.check_found(counts)
        return replace(form, notes=("labels have a colour per class",))
    if table.colours:
        table.check()
    elif numbers := numbers_in_colours(counts):
        note = "labels have the values in one colour alone, as in (1, 0, 0)"
        return replace(form, colours=numbers, notes=(note,))
    unknown = [colour for colour in counts if table.colours and colour not in table.colours]
    if unknown:
        msg = (
            f"the label files have colours that {table.path} lacks, for example {unknown[0]}. "
            "Add them to the table, correct the files, or list all colours with --label-map."
        )
        raise DatasetError(msg)
    colours = [colour for colour in table.colours or sorted(counts) if colour in counts]
    names = {colour: "#" + "".join(f"{part:02x}" for part in colour) for colour in colours}
    names |= {colour: table.colours[colour] for colour in colours if table.colours}
    background = _background_colour(colours, names)
    if not table.colours:
        names[background] = BACKGROUND
    colours = [background, *(colour for colour in colours if colour != background)]
    source = table.path if table.colours else "the label files"
    note = (
        f"labels have a colour per class; {format_count(len(colours), 'colour')} from {source}, "
        f"background is {background}"
    )
    named_values = dict(enumerate(names[colour] for colour in colours))
    return replace(form, colours=tuple(colours), names=named_values, notes=(note,))


def _background_colour(colours: Sequence[Colour], names: Mapping[Colour, str]) -> Colour:
    """Return the colour that is named background, otherwise black.

    Raises:
        DatasetError: If there is neither.
    """
    black = (0,) * len(colours[0])
    named = [colour for colour in colours if names[colour].lower() == BACKGROUND]
    background = next(iter((*named, *(colour for colour in colours if colour == black))), None)
    if background is None:
        entries = [f"{':'.join(map(str, colour))}={names[colour]}" for colour in colours]
        raise DatasetError(
            "the labels have a colour per class, and it is unclear which colour is the background: "
            "none is black. List all colours with --label-map or in a table of colours, and name "
            "the background; for example, complete\n"
            f"{format_lines([f'--label-map {shlex.quote(entry)}' for entry in entries], 10)}"
        )
    return background


def _assembled(
    cases: Sequence[CaseFiles], sources: LabelSources, folder: Path, workers: int
) -> tuple[tuple[CaseFiles, ...], tuple[CaseIssue, ...]]:
    """Return the cases with their label maps, and issues of those that cannot be made."""
    work = partial(assemble, form=sources.form, folder=folder)
    parts = [sources.parts[case.name] for case in cases]
    made, issues = [], []
    for outcome in run_each(work, parts, workers=workers):
        case = cases[outcome.index]
        if isinstance(outcome, Success):
            made.append(case.model_copy(update={"labels": outcome.value}))
        else:
            issues.append(CaseIssue(case.name, outcome.message, ""))
    order = {case.name: index for index, case in enumerate(cases)}
    return tuple(sorted(made, key=lambda case: order[case.name])), tuple(issues)


def _scheme(
    found: FoundValues, form: LabelForm, sources: LabelSources, reading: Reading
) -> tuple[LabelScheme, str, tuple[str, ...]]:
    """Return the classes of the values in the label maps, their source, and notes."""
    declared = sources.declared
    notes: tuple[str, ...] = ()
    if sources.label_map is not None:
        return _declared_scheme(sources.label_map.declared, ()), sources.label_map.source, ()
    if declared is not None and (fitting := _fitting(declared, found.values, form)):
        return _declared_scheme(fitting, found.values), "dataset.json", ()
    if declared is not None:
        notes = ("the labels in dataset.json do not fit these labels and are not used",)
    if not form.names:
        labels, source, more = _unnamed_scheme(found, sources, reading)
        return labels, source, (*notes, *more)
    names, absent = form.names, []
    if reading.sample is None:
        names = {v: name for v, name in form.names.items() if v in (0, *found.values)}
        absent = [name for value, name in form.names.items() if value not in names]
    source = "the names of files and folders" if form.form == "classes" else "the label files"
    if absent and form.form in ("classes", "segments"):
        source += f"; without a single voxel: {format_names(absent)}"
    # only a label map gives the name a meaning: a class of the files may be called so
    ignore = next((v for v, name in names.items() if form.drawn and name == IGNORE), None)
    names = {value: name for value, name in names.items() if value != ignore}
    return DeclaredLabels(names, ignore=ignore).scheme(min(names)), source, notes


def _unnamed_scheme(
    found: FoundValues, sources: LabelSources, reading: Reading
) -> tuple[LabelScheme, str, tuple[str, ...]]:
    """Return a class per value, their source, and notes."""
    own = found_labels(found, sources.table)
    if own.source:
        return own.labels, own.source, own.notes
    if own.labels.num_classes == 2 and (label := _common_label(sources.parts.values())):
        names = (own.labels.names[0], label)
        labels = own.labels.model_copy(update={"names": names})
        return labels, "the names of files", own.notes
    total = len(sources.parts)
    read = len(reading.chosen(range(total)))
    source = "the label files" if read == total else f"{read} of {total} label files"
    return own.labels, source, own.notes


def _common_label(parts: Iterable[LabelParts]) -> str | None:
    """Return the text of the entity `label-` if all label files have the same."""
    paths = [path for one in parts for _, path in one.files]
    if not all("label-" in path.name for path in paths):
        return None
    stems = [stem_of(path) for path in paths]
    found = {part for stem in stems for part in stem.split("_") if part.startswith("label-")}
    return found.pop().removeprefix("label-") if len(found) == 1 else None


def _fitting(
    declared: DeclaredLabels, values: Sequence[int], form: LabelForm
) -> DeclaredLabels | None:
    """Return declared labels for the values of label maps of some form; None if they do not fit."""
    if form.form == "values":
        return declared
    foreground = [value for value in declared.names if value != (declared.background or 0)]
    if form.form in OF_ONE_CLASS and len(foreground) == 1:
        return DeclaredLabels({0: BACKGROUND, 1: declared.names[foreground[0]]})
    known = declared.names.keys() | {0, declared.ignore}
    return (
        declared if form.form in ("onehot", "segments", "layers") and set(values) <= known else None
    )


def _declared_scheme(declared: DeclaredLabels, values: Sequence[int]) -> LabelScheme:
    """Return the declared classes; 0 is the background if it occurs and no other is declared."""
    if declared.background is None and 0 in values:
        declared = replace(declared, names=declared.names | {0: BACKGROUND})
    background = declared.background
    return declared.scheme(min(declared.names) if background is None else background)
