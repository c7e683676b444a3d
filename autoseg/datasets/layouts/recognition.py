"""Recognise the layout of a folder and describe the dataset in it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.labels import LabelScheme, default_label_name
from autoseg.datasets.issues import CaseIssue, format_issues
from autoseg.datasets.layouts import by_rules, decathlon, folders, nnunet_raw
from autoseg.datasets.layouts.by_rules import describe_by_rules, unrecognised
from autoseg.datasets.layouts.conversion import (
    INSTANCE_IDS_NOTE,
    LabelSources,
    convert_labels,
)
from autoseg.datasets.layouts.declared_labels import BACKGROUND, DeclaredLabels, declared_labels
from autoseg.datasets.layouts.description import Description, declared_channels, load_description
from autoseg.datasets.layouts.inference import (
    FoundValues,
    usual_axes_and_channels,
    values_in_files,
)
from autoseg.datasets.layouts.pairing import FoundCases
from autoseg.datasets.layouts.test_set import find_test_set
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.cases import recognise_cases
from autoseg.datasets.recognition.inventory import take_inventory
from autoseg.datasets.recognition.label_forms import LabelForm, form_of_files
from autoseg.documents.dataset import AUTOMATIC, CaseFiles, DatasetSpec, LayoutOptions
from autoseg.documents.splits import Fold
from autoseg.readers import ENDINGS, ending_of, read_segments

LAYOUTS = (decathlon, nnunet_raw, folders)
"""Layouts, tried in this order."""


@dataclass(frozen=True)
class Recognition:
    """A recognised dataset.

    Attributes:
        spec: The dataset, with the cases that have all their files.
        issues: Issues of the other cases.
        notes: Sentences about probable mistakes that do not concern single cases.
    """

    spec: DatasetSpec
    issues: tuple[CaseIssue, ...]
    notes: tuple[str, ...] = ()


def recognise(
    root: Path,
    options: LayoutOptions = AUTOMATIC,
    *,
    workers: int = 1,
    label_maps: Path | None = None,
) -> Recognition:
    """Recognise the dataset in a folder and name it after the folder, without writing to it.

    Args:
        root: The folder.
        options: Choices of the user; with any, layouts of a fixed convention are not considered.
        workers: Number of processes for reading label files, if no JSON declares the labels.
        label_maps: Folder for label maps that are made from files of other forms; None if nothing
            may be written.

    Raises:
        DatasetError: If the folder is missing, has an unknown layout, or has no complete case.
    """
    root = root.resolve()
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder. Choose the folder that contains the dataset.")
    description = load_description(root)
    matching = _find_cases(root, description) if options == AUTOMATIC else None
    if matching is None:
        return _by_rules(root, options, workers, label_maps)
    layout, found = matching
    cases = _with_groups(found.cases, description)
    test_set = find_test_set(root, description, cases)
    num_axes, num_channels = usual_axes_and_channels(cases)
    channel_names, channel_notes = _channel_names(description, num_channels)
    labelled = _labelled(description, cases, test_set.cases, workers, label_maps)
    cases = labelled.cases
    spec = DatasetSpec(
        name=root.name,
        root=root,
        layout=layout,
        num_axes=3 if num_axes == 3 else 2,
        channel_names=channel_names,
        labels=labelled.labels,
        inferred=(*_inferred_files(layout, cases, num_axes), *channel_notes, *labelled.inferred),
        cases=tuple(sorted(cases, key=lambda case: case.name)),
        test_cases=_with_groups(labelled.test_cases, description),
        splits=found.folds,
    )
    names = {case.name for case in (*found.cases, *test_set.cases)}
    names |= {issue.case for issue in found.issues}
    notes = (
        *found.notes,
        *labelled.notes,
        *_group_warnings(description, names, spec),
        *test_set.notes,
        *_leakage_warnings(spec),
    )
    return Recognition(spec=spec, issues=(*found.issues, *labelled.issues), notes=notes)


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
    description = load_description(root.resolve())
    matching = _find_cases(root.resolve(), description) if options == AUTOMATIC else None
    if matching is None:
        free = recognise_cases(take_inventory(root.resolve()), options)
        if free is None:
            raise DatasetError(f"{root}: {unrecognised(root, options)}")
        return CaseNames(
            training=frozenset(case.name for case in free.cases),
            test=frozenset(case.name for case in free.test_cases),
        )
    _, found = matching
    test_set = find_test_set(root.resolve(), description, found.cases)
    incomplete = (issue.case for issue in found.issues)
    return CaseNames(
        training=frozenset({*(case.name for case in found.cases), *incomplete}),
        test=frozenset(case.name for case in test_set.cases),
    )


def _find_cases(root: Path, description: Description | None) -> tuple[str, FoundCases] | None:
    """Return the name of the matching layout with a fixed convention, and the cases."""
    for layout in LAYOUTS:
        found = layout.find_cases(root, description)
        if found is None:
            continue
        if not found.cases:
            reason = format_issues(found.issues) or f"  no image files ({', '.join(ENDINGS)})"
            msg = f"{root} looks like a {layout.NAME} dataset, but no case is complete:\n{reason}"
            raise DatasetError(msg)
        return layout.NAME, found
    return None


def _by_rules(
    root: Path, options: LayoutOptions, workers: int, label_maps: Path | None
) -> Recognition:
    """Recognise a dataset of any other layout.

    Raises:
        DatasetError: If no image has labels.
    """
    found = describe_by_rules(root, options, workers=workers, label_maps=label_maps)
    if found is None or not found.cases:
        issues = format_issues(found.issues) if found else ""
        raise DatasetError(f"{root}: {unrecognised(root, options)}{issues}")
    num_axes, num_channels = usual_axes_and_channels(found.cases)
    channel_names, inferred = _channel_names(None, num_channels)
    if len(found.channels) == num_channels:
        channel_names, inferred = found.channels, ()
    held_out = set(found.validation)
    train = tuple(case.name for case in found.cases if case.name not in held_out)
    spec = DatasetSpec(
        name=root.name,
        root=root,
        layout=by_rules.NAME,
        num_axes=3 if num_axes == 3 else 2,
        channel_names=channel_names,
        labels=found.labels,
        inferred=(*found.inferred, f"{num_axes}-D images", *inferred),
        cases=tuple(sorted(found.cases, key=lambda case: case.name)),
        test_cases=tuple(sorted(found.test_cases, key=lambda case: case.name)),
        splits=(Fold(train=train, validation=found.validation),) if held_out else (),
        options=options,
    )
    return Recognition(spec, found.issues, (*found.notes, *_leakage_warnings(spec)))


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
    description: Description | None, num_channels: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the channel names, and a sentence if they were inferred."""
    declared = declared_channels(description) if description else None
    if declared is not None:
        return declared, ()
    inferred = f"{format_count(num_channels, 'unnamed channel')} per image, counted in the files"
    return tuple(f"channel_{index}" for index in range(num_channels)), (inferred,)


@dataclass(frozen=True)
class _Labelled:
    """Cases with label maps, the classes, and sentences on them."""

    cases: tuple[CaseFiles, ...]
    test_cases: tuple[CaseFiles, ...]
    labels: LabelScheme
    inferred: tuple[str, ...]
    notes: tuple[str, ...]
    issues: tuple[CaseIssue, ...] = ()


def _labelled(
    description: Description | None,
    cases: tuple[CaseFiles, ...],
    test_cases: tuple[CaseFiles, ...],
    workers: int,
    label_maps: Path | None,
) -> _Labelled:
    """Find out the classes; convert label files of another form than values."""
    declared = declared_labels(description) if description else None
    form = LabelForm("segments") if _name_segments(cases) else None
    if form is None and declared is not None and declared.background is not None:
        return _Labelled(cases, test_cases, declared.scheme(declared.background), (), ())
    found = None
    if form is not None or declared is None:
        form = form or form_of_files([case.labels for case in cases])
        if form.form == "values":
            found = values_in_files([case.labels for case in cases], workers=workers)
        if found is None or found.are_masks_of_two_depths:
            everything = (*cases, *test_cases)
            parts = {c.name: LabelParts(c.name, ((1, c.labels),), c.images[0]) for c in everything}
            made = convert_labels(
                everything,
                LabelSources(form, parts, declared=declared),
                workers=workers,
                label_maps=label_maps,
            )
            names = {case.name for case in test_cases}
            return _Labelled(
                tuple(case for case in made.cases if case.name not in names),
                tuple(case for case in made.cases if case.name in names),
                made.labels,
                (*made.sentences, *form.notes, *made.notes),
                (),
                made.issues,
            )
    found = found or values_in_files([case.labels for case in cases], workers=workers)
    labels, inferred, notes = _label_scheme(declared, found)
    return _Labelled(cases, test_cases, labels, inferred, notes)


def _name_segments(cases: Sequence[CaseFiles]) -> bool:
    """Return True if the header of the first label file names its segments."""
    try:
        return bool(cases and read_segments(cases[0].labels))
    except CaseError:
        return False


def _label_scheme(
    declared: DeclaredLabels | None, in_files: FoundValues
) -> tuple[LabelScheme, tuple[str, ...], tuple[str, ...]]:
    """Return the classes, sentences about inferred labels, and sentences about probable mistakes.

    The background is value 0, if it is declared or occurs in a file; otherwise the lowest value.

    Raises:
        DatasetError: If there are fewer than two values.
    """
    found = in_files.values
    inferred = f"label values {', '.join(map(str, found))}, from the label files"
    notes: tuple[str, ...] = ()
    if declared is None:
        if in_files.look_like_instance_ids:
            notes = (INSTANCE_IDS_NOTE.format(largest=found[-1]),)
        names = {value: default_label_name(value) for value in found} | {found[0]: BACKGROUND}
        declared = DeclaredLabels(names=names)
    elif 0 in found:
        declared = replace(declared, names=declared.names | {0: BACKGROUND})
    background = min(declared.names)
    return declared.scheme(background), (inferred, f"background is value {background}"), notes


def _inferred_files(layout: str, cases: tuple[CaseFiles, ...], num_axes: int) -> tuple[str, ...]:
    """Return sentences about the files, unless a JSON lists them."""
    if layout != folders.NAME:
        return ()
    images = Counter(ending_of(path) for case in cases for path in case.images)
    labels = Counter(ending_of(case.labels) for case in cases)
    pairs = (
        f"{len(cases)} pairs of files with the same stem in {cases[0].images[0].parent.name}/ "
        f"({', '.join(images)}) and {cases[0].labels.parent.name}/ ({', '.join(labels)})"
    )
    return pairs, f"{num_axes}-D images"
