"""Convert label files of any form to one label map per case, and name the classes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_lines, format_names
from autoseg.core.labels import LabelScheme, default_label_name
from autoseg.core.parallel import Success, run_each
from autoseg.datasets.issues import CaseIssue
from autoseg.datasets.layouts.declared_labels import BACKGROUND, IGNORE, DeclaredLabels
from autoseg.datasets.layouts.inference import FoundValues, values_in_files
from autoseg.datasets.recognition.assembly import LabelParts, assemble
from autoseg.datasets.recognition.class_tables import ClassTable
from autoseg.datasets.recognition.contents import has_foreground
from autoseg.datasets.recognition.label_forms import LabelForm, colours_in
from autoseg.datasets.recognition.segment_classes import has_segment, segment_form
from autoseg.documents.dataset import CaseFiles

MASKS_OF_TWO_DEPTHS = LabelForm(
    "threshold",
    names={0: BACKGROUND, 1: "foreground"},
    threshold=0.5,
    notes=("some masks have the values 0 and 1, others 0 and 255: values above 0 are foreground",),
)
"""Form of masks of 1 bit and of 8 bits in one dataset."""


INSTANCE_IDS_NOTE = (
    "the label values look like instance ids, not like classes: each file has the values 1, 2, 3 "
    "…, up to {largest}. Each value is treated as a class. If they are instance ids, add --mask "
    "instances; if they are classes, declare them in dataset.json."
)

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
    """

    form: LabelForm
    parts: dict[str, LabelParts]
    table: ClassTable = field(default_factory=ClassTable)
    declared: DeclaredLabels | None = None


@dataclass(frozen=True)
class ConvertedLabels:
    """Cases with one label map each.

    Attributes:
        cases: Cases whose label map exists or was made.
        labels: The classes.
        issues: Issues of the other cases.
        sentences: Sentences on the classes.
        notes: Sentences on the conversion.
    """

    cases: tuple[CaseFiles, ...]
    labels: LabelScheme
    issues: tuple[CaseIssue, ...]
    sentences: tuple[str, ...]
    notes: tuple[str, ...]


def convert_labels(
    cases: Sequence[CaseFiles], sources: LabelSources, *, workers: int, label_maps: Path | None
) -> ConvertedLabels:
    """Make a label map for each case, unless its label file is one already.

    Args:
        cases: The cases.
        sources: Their label files.
        workers: Number of processes that read label files.
        label_maps: Folder of the label maps, in the work folder; None if nothing may be written.

    Raises:
        DatasetError: If a label map would have to be made without a folder for it, or no label file
            can be read.
    """
    given, sources = sources.form, _with_segments(sources)
    form = sources.form
    issues: tuple[CaseIssue, ...] = ()
    found = None
    if form.form == "values":
        if sources.declared is not None and sources.declared.background is not None:
            labels, sentence = _declared_scheme(sources.declared, ())
            return ConvertedLabels(tuple(cases), labels, (), (sentence,), ())
        found = values_in_files([case.labels for case in cases], workers=workers)
    if found is not None and found.are_masks_of_two_depths:
        form, found = MASKS_OF_TWO_DEPTHS, None
    if found is None:
        if label_maps is None:
            raise DatasetError(
                "the labels of this dataset have to be converted, which needs a work folder. Run "
                "`autoseg plan DATASET`, and use the label maps in its work folder."
            )
        form = _with_colours(sources) if form.form == "colours" else form
        cases, issues = _assembled(cases, sources.parts, form, label_maps, workers)
        if not cases:
            raise DatasetError(f"no label file can be converted, for example: {issues[0].sentence}")
        files = [case.labels for case in cases]
        found = values_in_files(files, workers=workers, are_named=form.form == "segments")
        _check_covered(found.values, form, sources.parts.values(), workers)
    labels, sentence, notes = _scheme(found, form, sources)
    if form != given:
        notes = (*form.notes, *notes)
    return ConvertedLabels(tuple(cases), labels, issues, (sentence,), notes)


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


def _with_colours(sources: LabelSources) -> LabelForm:
    """Complete the colours of a form: from a table of colours, otherwise from the files.

    Raises:
        DatasetError: If the files have too many colours, or one that the table lacks, or it is
            unclear which colour is the background.
    """
    counts = colours_in([path for parts in sources.parts.values() for _, path in parts.files])
    table = sources.table
    unknown = [colour for colour in counts if table.colours and colour not in table.colours]
    if unknown:
        msg = (
            f"the label files have colours that {table.path} lacks, for example {unknown[0]}. "
            "Add them to the table, or correct the files."
        )
        raise DatasetError(msg)
    colours = [colour for colour in table.colours or sorted(counts) if colour in counts]
    names = {colour: "#" + "".join(f"{part:02x}" for part in colour) for colour in colours}
    names |= {colour: table.colours[colour] for colour in colours if table.colours}
    black = (0,) * len(colours[0])
    named = [colour for colour in colours if names[colour].lower() == BACKGROUND]
    background = next(iter((*named, *({black} & counts.keys()))), None)
    if background is None:
        lines = [f"{' '.join(map(str, colour))} {names[colour]}" for colour in colours]
        raise DatasetError(
            "the labels have a colour per class, and it is unclear which colour is the background: "
            "none is black. Name it background in a table of colours, for example a file "
            f"{table.path or 'label_colours.txt'} with the lines:\n{format_lines(lines, 10)}"
        )
    if not table.colours:
        names[background] = BACKGROUND
    colours = [background, *(colour for colour in colours if colour != background)]
    source = table.path if table.colours else "the label files"
    note = (
        f"labels have a colour per class; {format_count(len(colours), 'colour')} from {source}, "
        f"background is {background}"
    )
    named_values = dict(enumerate(names[colour] for colour in colours))
    return replace(sources.form, colours=tuple(colours), names=named_values, notes=(note,))


def _assembled(
    cases: Sequence[CaseFiles],
    parts: dict[str, LabelParts],
    form: LabelForm,
    folder: Path,
    workers: int,
) -> tuple[tuple[CaseFiles, ...], tuple[CaseIssue, ...]]:
    """Return the cases with their label maps, and issues of those that cannot be made."""
    work = partial(assemble, form=form, folder=folder)
    made, issues = [], []
    for outcome in run_each(work, [parts[case.name] for case in cases], workers=workers):
        case = cases[outcome.index]
        if isinstance(outcome, Success):
            made.append(case.model_copy(update={"labels": outcome.value}))
        else:
            issues.append(CaseIssue(case.name, outcome.message, ""))
    order = {case.name: index for index, case in enumerate(cases)}
    return tuple(sorted(made, key=lambda case: order[case.name])), tuple(issues)


def _scheme(
    found: FoundValues, form: LabelForm, sources: LabelSources
) -> tuple[LabelScheme, str, tuple[str, ...]]:
    """Return the classes of the values in the label maps, a sentence on them, and notes."""
    values, names, declared = found.values, dict(form.names), sources.declared
    notes: tuple[str, ...] = ()
    if declared is not None and (fitting := _fitting(declared, values, form)):
        labels, sentence = _declared_scheme(fitting, values)
        return labels, sentence, ()
    if declared is not None:
        notes = ("the labels in dataset.json do not fit these labels and are not used",)
    source = "the names of files and folders" if form.form == "classes" else "the label files"
    if not names:
        names = {value: default_label_name(value) for value in values} | {values[0]: BACKGROUND}
        if named := sources.table.names_of(values):
            names |= named | ({0: BACKGROUND} if 0 in values else {})
            source = str(sources.table.path)
        elif found.look_like_instance_ids:
            notes = (*notes, INSTANCE_IDS_NOTE.format(largest=values[-1]))
    is_listed = form.form in ("classes", "segments")
    absent = sorted(names.keys() - {0, *values}) if is_listed else []
    used = {value: name for value, name in names.items() if value in values or value == 0}
    sentence = f"classes {_listed(used)}, from {source}"
    if absent:
        sentence += f"; without a single voxel: {format_names([names[value] for value in absent])}"
    return DeclaredLabels(names=used).scheme(min(used)), sentence, notes


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
    return declared if form.form in ("onehot", "segments") and set(values) <= known else None


def _declared_scheme(declared: DeclaredLabels, values: Sequence[int]) -> tuple[LabelScheme, str]:
    """Return the declared classes, and a sentence on them."""
    if declared.background is None and 0 in values:
        declared = replace(declared, names=declared.names | {0: BACKGROUND})
    background = declared.background
    labels = declared.scheme(min(declared.names) if background is None else background)
    return labels, f"classes {_listed(declared.names)}, from dataset.json"


def _listed(names: Mapping[int, str]) -> str:
    return ", ".join(f"{value}={name}" for value, name in names.items())
