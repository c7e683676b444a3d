"""Convert label files of any form to one label map per case, and name the classes."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.labels import LabelScheme, default_label_name
from autoseg.core.parallel import Success, run_each
from autoseg.datasets.issues import CaseIssue
from autoseg.datasets.layouts.declared_labels import BACKGROUND, DeclaredLabels
from autoseg.datasets.layouts.inference import values_in_files
from autoseg.datasets.recognition.assembly import LabelParts, assemble
from autoseg.datasets.recognition.class_tables import ClassTable
from autoseg.datasets.recognition.label_forms import LabelForm, colours_in
from autoseg.documents.dataset import CaseFiles

MASKS_OF_TWO_DEPTHS = LabelForm(
    "threshold",
    (),
    {0: BACKGROUND, 1: "foreground"},
    threshold=0.5,
    notes=("some masks have the values 0 and 1, others 0 and 255: values above 0 are foreground",),
)
"""Form of masks of 1 bit and of 8 bits in one dataset."""


@dataclass(frozen=True)
class LabelSources:
    """The label files of a dataset.

    Attributes:
        form: How they store the classes.
        parts: Label files of each case, by its name.
        table: Names or colours of the classes.
    """

    form: LabelForm
    parts: dict[str, LabelParts]
    table: ClassTable = field(default_factory=ClassTable)


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
    form = sources.form
    issues: tuple[CaseIssue, ...] = ()
    notes: tuple[str, ...] = ()
    if form.form == "colours":
        form = _with_colours(sources)
        notes = form.notes
    found = None
    if form.form == "values":
        found = values_in_files([case.labels for case in cases], workers=workers)
        if found.are_masks_of_two_depths:
            form, found = MASKS_OF_TWO_DEPTHS, None
            notes = form.notes
    if found is None:
        if label_maps is None:
            raise DatasetError(
                "the labels of this dataset have to be converted, which needs a work folder. Run "
                "`autoseg plan DATASET`, and use the label maps in its work folder."
            )
        cases, issues = _assembled(cases, sources.parts, form, label_maps, workers)
        if not cases:
            raise DatasetError(f"no label file can be converted, for example: {issues[0].sentence}")
        found = values_in_files([case.labels for case in cases], workers=workers)
    labels, sentences = _scheme(found.values, form, sources.table)
    return ConvertedLabels(tuple(cases), labels, issues, sentences, notes)


def _with_colours(sources: LabelSources) -> LabelForm:
    """Complete the colours of a form: from a table of colours, otherwise from the files.

    Raises:
        DatasetError: If the files have too many colours, or one that the table lacks.
    """
    paths = [path for parts in sources.parts.values() for _, path in parts.files]
    counts = colours_in(paths)
    table = sources.table
    if table.colours:
        unknown = [colour for colour in counts if colour not in table.colours]
        if unknown:
            msg = (
                f"the label files have colours that {table.path} lacks, for example {unknown[0]}. "
                "Add them to the table, or correct the files."
            )
            raise DatasetError(msg)
        colours = [colour for colour in table.colours if colour in counts]
        names = {value: table.colours[colour] for value, colour in enumerate(colours)}
        source = f"{table.path}"
    else:
        colours = sorted(counts, key=lambda colour: (sum(colour) > 0, colour))
        names = {
            value: "background" if value == 0 else "#" + "".join(f"{part:02x}" for part in colour)
            for value, colour in enumerate(colours)
        }
        source = "the label files"
    note = f"labels have a colour per class; {format_count(len(colours), 'colour')} from {source}"
    return replace(sources.form, colours=tuple(colours), names=names, notes=(note,))


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
    found: tuple[int, ...], form: LabelForm, table: ClassTable
) -> tuple[LabelScheme, tuple[str, ...]]:
    """Return the classes of the values in the label maps, and a sentence on them."""
    names = dict(form.names)
    source = "the names of files and folders" if form.form == "classes" else "the label files"
    if not names:
        names = {value: default_label_name(value) for value in found} | {found[0]: BACKGROUND}
        if table.values and set(found) - {0} <= table.values.keys():
            names |= {
                value: table.values[value] for value in found if value or value in table.values
            }
            names |= {0: BACKGROUND} if 0 in found else {}
            source = str(table.path)
    used = {value: names[value] for value in found} if form.form != "classes" else names
    absent = sorted(set(used) - set(found) - {0})
    used = {value: name for value, name in used.items() if value in found or value == 0}
    sentence = f"classes {', '.join(f'{v}={n}' for v, n in used.items())}, from {source}"
    if absent:
        sentence += f"; without a single voxel: {format_names([names[value] for value in absent])}"
    return DeclaredLabels(names=used).scheme(min(used)), (sentence,)
