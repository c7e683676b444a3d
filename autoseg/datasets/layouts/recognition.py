"""Recognise the layout of a folder and describe the dataset in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.issues import CaseIssue, format_issues
from autoseg.datasets.layouts import by_rules, decathlon, folders, nnunet_raw
from autoseg.datasets.layouts.by_rules import (
    describe_by_rules,
    recognise_described,
    unrecognised,
)
from autoseg.datasets.layouts.conversion import ConvertedLabels, LabelSources, convert_labels
from autoseg.datasets.layouts.declared_labels import declared_labels
from autoseg.datasets.layouts.description import Description, declared_channels, load_description
from autoseg.datasets.layouts.facts import DESCRIPTION, Fact, Sources, facts
from autoseg.datasets.layouts.inference import ImageAxes, Reading, usual_axes
from autoseg.datasets.layouts.label_map import choose_classes
from autoseg.datasets.layouts.test_set import find_test_set, folds_without
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.class_tables import ClassTable, find_class_table, lists_classes
from autoseg.datasets.recognition.inventory import FOLDERS, take_inventory
from autoseg.datasets.recognition.label_forms import LabelForm, form_of_files
from autoseg.datasets.recognition.label_series import forget_contents
from autoseg.datasets.recognition.patterns import choose_test_cases
from autoseg.documents.dataset import AUTOMATIC, CaseFiles, DatasetSpec, LayoutOptions
from autoseg.documents.splits import Fold
from autoseg.readers import ENDINGS, images_in, read_segments

LAYOUTS = (decathlon, nnunet_raw, folders)
"""Layouts, tried in this order."""


@dataclass(frozen=True)
class Recognition:
    """A recognised dataset.

    Attributes:
        spec: The dataset, with the cases that have all their files.
        issues: Issues of the other cases.
        notes: Sentences about probable mistakes that do not concern single cases.
        facts: Properties of the dataset, and where they are from.
        are_converted: Whether label maps are, or have to be, made from other files.
    """

    spec: DatasetSpec
    issues: tuple[CaseIssue, ...]
    notes: tuple[str, ...]
    facts: tuple[Fact, ...]
    are_converted: bool


def recognise(
    root: Path,
    options: LayoutOptions = AUTOMATIC,
    *,
    workers: int = 1,
    label_maps: Path | None = None,
    sample: int | None = None,
) -> Recognition:
    """Recognise the dataset in a folder and name it after the folder, without writing to it.

    Args:
        root: The folder.
        options: Choices of the user; if they choose files, layouts of a fixed convention are not
            considered.
        workers: Number of processes for reading label files, if no JSON declares the labels.
        label_maps: Folder for label maps that are made from files of other forms; None if nothing
            may be written.
        sample: Number of label files that are read to find the classes; None for all. With a
            number, no label map is made, and the cases keep their label files.

    Raises:
        DatasetError: If the folder is missing, has an unknown layout, or has no complete case.
    """
    root = root.resolve()
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder. Choose the folder that contains the dataset.")
    if root.name.lower().endswith(FOLDERS) and images_in(root):
        raise DatasetError(f"{root} is a Zarr folder. Choose the folder that contains it.")
    reading = Reading(workers, label_maps, sample)
    description = load_description(root)
    matching = _find_cases(root, description, options)
    if matching is None:
        return _by_rules(root, options, description, reading)
    return _by_convention(root, options, description, matching, reading)


def _by_convention(
    root: Path,
    options: LayoutOptions,
    description: Description | None,
    matching: "_Matching",
    reading: Reading,
) -> Recognition:
    """Recognise a dataset of a layout with a fixed convention."""
    axes = usual_axes(matching.cases)
    channel_names, channels = _channel_names(description, axes)
    labelled = _labelled(root, options, description, matching, reading)
    is_test = {case.images for case in matching.test_cases}
    cases, test_cases = (
        tuple(case for case in labelled.cases if (case.images in is_test) == wanted)
        for wanted in (False, True)
    )
    if not cases:
        raise DatasetError(f"no case can be used:\n{format_issues(labelled.issues)}")
    spec = DatasetSpec(
        name=root.name,
        root=root,
        layout=matching.layout,
        num_axes=3 if axes.number == 3 else 2,
        channel_names=channel_names,
        labels=labelled.labels,
        cases=_sorted(_with_groups(cases, description)),
        test_cases=_sorted(_with_groups(test_cases, description)),
        splits=matching.folds,
        options=options,
    )
    originals = {case.images: case.labels for case in matching.cases}
    sources = Sources(
        example=(originals[spec.cases[0].images],),
        channels=channels,
        classes=labelled.source,
        are_converted=labelled.are_converted,
    )
    notes = (
        *matching.notes,
        *labelled.notes,
        *_group_warnings(description, {*matching.names, *matching.test_names}, spec),
        *_leakage_warnings(spec),
    )
    return _finished(spec, sources, (*matching.issues, *labelled.issues), notes)


def _finished(
    spec: DatasetSpec, sources: Sources, issues: tuple[CaseIssue, ...], notes: tuple[str, ...]
) -> Recognition:
    """Add the facts on a dataset to its description."""
    found = facts(spec, sources)
    spec = spec.model_copy(update={"inferred": tuple(map(str, found))})
    return Recognition(spec, issues, notes, found, sources.are_converted)


class CaseNames(NamedTuple):
    """Names of the cases of a dataset.

    Attributes:
        training: Names of all training cases, including those with missing files.
        test: Names of the test cases that have all their files.
    """

    training: frozenset[str]
    test: frozenset[str]


def case_names(root: Path, options: LayoutOptions = AUTOMATIC) -> CaseNames:
    """Return the names of the cases of a dataset.

    Args:
        root: Folder of the dataset.
        options: Choices of the user that the dataset was recognised with.

    Raises:
        DatasetError: If the folder is missing, has an unknown layout or no complete case, or if an
            image is both in the training set and in the test set.
    """
    root = root.resolve()
    matching = _find_cases(root, load_description(root), options)
    if matching is None:
        free = recognise_described(take_inventory(root), options)
        if free is None:
            raise DatasetError(f"{root}: {unrecognised(root, options)}")
        return CaseNames(
            training=frozenset(case.name for case in free.cases),
            test=frozenset(case.name for case in free.test_cases),
        )
    return CaseNames(training=matching.names, test=matching.test_names)


@dataclass(frozen=True)
class _Matching:
    """Cases of a layout with a fixed convention."""

    layout: str
    cases: tuple[CaseFiles, ...]
    test_cases: tuple[CaseFiles, ...]
    folds: tuple[Fold, ...]
    issues: tuple[CaseIssue, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """Names of the training cases, including those with issues."""
        return frozenset({*(c.name for c in self.cases), *(issue.case for issue in self.issues)})

    @property
    def test_names(self) -> frozenset[str]:
        """Names of the test cases."""
        return frozenset(case.name for case in self.test_cases)


def _find_cases(
    root: Path, description: Description | None, options: LayoutOptions
) -> _Matching | None:
    """Return the cases of the matching layout with a fixed convention; None if there is none."""
    for layout in () if options.choose_files else LAYOUTS:
        found = layout.find_cases(root, description)
        if found is None:
            continue
        if not found.cases:
            reason = format_issues(found.issues) or f"  no image files ({', '.join(ENDINGS)})"
            msg = f"{root} looks like a {layout.NAME} dataset, but no case is complete:\n{reason}"
            raise DatasetError(msg)
        test_set = find_test_set(root, description, found.cases)
        cases, test = choose_test_cases(found.cases, test_set.cases, options.test, root)
        moved = {case.name for case in found.cases} - {case.name for case in cases}
        notes = (*found.notes, *test_set.notes)
        if len(test) > len(test_set.cases) > 0:
            notes += (f"with those of --test, there are {format_count(len(test), 'test case')}",)
        folds = folds_without(found.folds, moved)
        return _Matching(layout.NAME, cases, test, folds, found.issues, notes)
    return None


def _sorted(cases: Iterable[CaseFiles]) -> tuple[CaseFiles, ...]:
    return tuple(sorted(cases, key=lambda case: case.name))


def _by_rules(
    root: Path, options: LayoutOptions, description: Description | None, reading: Reading
) -> Recognition:
    """Recognise a dataset of any other layout.

    Raises:
        DatasetError: If no image has labels.
    """
    found = describe_by_rules(root, options, reading)
    if found is None or not found.cases:
        issues = format_issues(found.issues) if found else ""
        raise DatasetError(f"{root}: {unrecognised(root, options)}{issues}")
    axes = usual_axes(found.cases)
    channel_names, channels = _channel_names(
        description, axes, found.channels, found.channel_source
    )
    held_out = set(found.validation)
    train = tuple(case.name for case in found.cases if case.name not in held_out)
    spec = DatasetSpec(
        name=root.name,
        root=root,
        layout=by_rules.NAME,
        num_axes=3 if axes.number == 3 else 2,
        channel_names=channel_names,
        labels=found.labels,
        cases=_sorted(found.cases),
        test_cases=_sorted(found.test_cases),
        splits=(Fold(train=train, validation=found.validation),) if held_out else (),
        options=options,
    )
    sources = replace(found.sources, channels=channels)
    return _finished(spec, sources, found.issues, (*found.notes, *_leakage_warnings(spec)))


def _with_groups(
    cases: tuple[CaseFiles, ...], description: Description | None
) -> tuple[CaseFiles, ...]:
    groups = description.groups if description else {}
    return tuple(
        case.model_copy(update={"group": str(groups[case.name])}) if case.name in groups else case
        for case in cases
    )


def _group_warnings(
    description: Description | None, names: set[str], spec: DatasetSpec
) -> tuple[str, ...]:
    """Return a warning if groups are declared for unknown cases, usually because of a typo."""
    unknown = sorted(set(description.groups) - names) if description else []
    if not unknown:
        return ()
    note = (
        f"groups are declared for {len(unknown)} names that are not cases: "
        f"{format_names(unknown)}. Cases have names like {spec.cases[0].name}; a case without a "
        "group counts as its own group."
    )
    return (note,)


def _leakage_warnings(spec: DatasetSpec) -> tuple[str, ...]:
    """Return a warning if a group is in both the training set and the test set (leakage)."""
    groups = {case.group for case in spec.cases} - {None}
    leaking = [case.name for case in spec.test_cases if case.group in groups]
    if not leaking:
        return ()
    note = (
        f"{len(leaking)} test cases belong to groups that are also trained on (leakage), so their "
        f"scores will be too high: {format_names(leaking)}."
    )
    return (note,)


def _channel_names(
    description: Description | None,
    axes: ImageAxes,
    files: tuple[str, ...] = (),
    source: str = "",
) -> tuple[tuple[str, ...], str]:
    """Return the channel names, and a text on them and their source.

    Args:
        description: Content of the dataset.json.
        axes: Axes of the images.
        files: Names of the channels that were recognised.
        source: Where these names are from.
    """
    declared = declared_channels(description) if description else None
    are_numbered = all(map(str.isdecimal, files))
    if declared is not None and (are_numbered or len(files) != axes.num_channels):
        return declared, f"{format_names(declared, 20)}, from {DESCRIPTION}"
    if files and len(files) == axes.num_channels:
        return files, f"{format_names(files, 20)}, from {source}"
    names = tuple(f"channel_{index}" for index in range(axes.num_channels))
    origin = "from the fourth axis of the files" if axes.is_fourth else "counted in the files"
    counted = " ".join((origin, *([format_names(files, 20)] if files else [])))
    return names, f"{axes.num_channels} without names, {counted}"


def _name_segments(cases: Sequence[CaseFiles]) -> bool:
    """Return True if the header of the first label file names its segments."""
    try:
        return bool(cases and read_segments(cases[0].labels))
    except CaseError:
        return False


def _labelled(
    root: Path,
    options: LayoutOptions,
    description: Description | None,
    found: _Matching,
    reading: Reading,
) -> ConvertedLabels:
    """Find out the classes; convert label files of another form than values."""
    _, label_map = choose_classes(LabelForm("values"), options.label_map)
    declared = declared_labels(description) if description else None
    everything = (*found.cases, *found.test_cases)
    table, form = ClassTable(), LabelForm("values")
    if label_map is not None or options.mask is not None or declared is None:
        inventory = take_inventory(root)
        if label_map is None:
            table = find_class_table(root, (*inventory.texts, *inventory.tables))
        form = form_of_files(
            [case.labels for case in everything],
            options.label_form,
            are_declared=label_map is not None or lists_classes(inventory),
        )
        forget_contents()
    if label_map is None and options.mask is None and _name_segments(found.cases):
        form = LabelForm("segments")
    parts = {c.name: LabelParts(c.name, ((1, c.labels),), c.images[0]) for c in everything}
    sources = LabelSources(form, parts, table, declared, label_map)
    made = convert_labels(everything, sources, reading)
    return replace(made, notes=(*form.notes, *made.notes))
