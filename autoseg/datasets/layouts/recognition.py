"""Recognise the layout of a folder and describe the dataset in it."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.labels import LabelScheme, default_label_name
from autoseg.datasets.issues import CaseIssue, format_issues
from autoseg.datasets.layouts import decathlon, folders, nnunet_raw
from autoseg.datasets.layouts.declared_labels import (
    BACKGROUND,
    DeclaredLabels,
    declared_labels,
)
from autoseg.datasets.layouts.description import (
    Description,
    declared_channels,
    load_description,
)
from autoseg.datasets.layouts.inference import usual_axes_and_channels, values_in_files
from autoseg.datasets.layouts.pairing import FoundCases
from autoseg.datasets.layouts.test_set import find_test_set
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.readers import ENDINGS, ending_of

LAYOUTS = (decathlon, nnunet_raw, folders)
"""Layouts, tried in this order."""

INSTANCE_IDS_NOTE = (
    "the label values look like instance ids, not like classes: each file has the values 1, 2, 3 "
    "…, up to {largest}. Each value is treated as a class. If they are instance ids, set them all "
    "to 1; if they are classes, declare them in dataset.json."
)


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


def recognise(root: Path, *, workers: int = 1) -> Recognition:
    """Recognise the dataset in a folder, without writing to it.

    The dataset is named after its folder.

    Args:
        root: The folder.
        workers: Number of processes for reading label files, if no JSON declares the labels.

    Raises:
        DatasetError: If the folder is missing, has an unknown layout, or has no complete case.
    """
    root = root.resolve()
    if not root.is_dir():
        msg = f"{root} is not a folder. Choose the folder that contains the dataset."
        raise DatasetError(msg)
    description = load_description(root)
    layout, found = _find_cases(root, description)
    cases = _with_groups(found.cases, description)
    test_set = find_test_set(root, description, cases)
    num_axes, num_channels = usual_axes_and_channels(cases)
    channel_names, inferred_channels = _channel_names(description, num_channels)
    labels, inferred_labels, label_notes = _label_scheme(description, cases, workers)
    spec = DatasetSpec(
        name=root.name,
        root=root,
        layout=layout,
        num_axes=3 if num_axes == 3 else 2,
        channel_names=channel_names,
        labels=labels,
        inferred=(
            *_inferred_files(layout, cases, num_axes),
            *inferred_channels,
            *inferred_labels,
        ),
        cases=tuple(sorted(cases, key=lambda case: case.name)),
        test_cases=_with_groups(test_set.cases, description),
    )
    names = {case.name for case in (*found.cases, *test_set.cases)}
    names |= {issue.case for issue in found.issues}
    notes = (
        *found.notes,
        *label_notes,
        *_group_warnings(description, names, spec),
        *test_set.notes,
        *_leakage_warnings(spec),
    )
    return Recognition(spec=spec, issues=found.issues, notes=notes)


class CaseNames(NamedTuple):
    """Names of the cases of a dataset.

    Attributes:
        training: Names of all training cases, including those with missing files.
        test: Names of the test cases that have all their files.
    """

    training: frozenset[str]
    test: frozenset[str]


def case_names(root: Path) -> CaseNames:
    """Return the names of the cases of a dataset, without opening any image.

    Raises:
        DatasetError: If the folder is missing, has an unknown layout or no complete case, or if an
            image is both in the training set and in the test set.
    """
    description = load_description(root.resolve())
    _, found = _find_cases(root.resolve(), description)
    test_set = find_test_set(root.resolve(), description, found.cases)
    incomplete = (issue.case for issue in found.issues)
    return CaseNames(
        training=frozenset({*(case.name for case in found.cases), *incomplete}),
        test=frozenset(case.name for case in test_set.cases),
    )


def _find_cases(root: Path, description: Description | None) -> tuple[str, FoundCases]:
    """Return the name of the matching layout, and the cases.

    Raises:
        DatasetError: If no layout matches, or no case is complete.
    """
    for layout in LAYOUTS:
        found = layout.find_cases(root, description)
        if found is None:
            continue
        if not found.cases:
            reason = format_issues(found.issues) or f"  no image files ({', '.join(ENDINGS)})"
            msg = f"{root} looks like a {layout.NAME} dataset, but no case is complete:\n{reason}"
            raise DatasetError(msg)
        return layout.NAME, found
    entries = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    msg = (
        f"{root}: unrecognised dataset layout; found {format_names(entries, 8) or 'no files'}. "
        "Expected a dataset.json that lists image and label pairs, or the folders imagesTr and "
        "labelsTr, or the folders images and labels with files of the same stem."
    )
    raise DatasetError(msg)


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


def _label_scheme(
    description: Description | None, cases: tuple[CaseFiles, ...], workers: int
) -> tuple[LabelScheme, tuple[str, ...], tuple[str, ...]]:
    """Return the classes, sentences about inferred labels, and sentences about probable mistakes.

    The background is the label declared as `background`; otherwise value 0, if it is declared or
    occurs in a file; otherwise the lowest value.

    Raises:
        DatasetError: If there are fewer than two values.
    """
    declared = declared_labels(description) if description else None
    if declared is not None and declared.background is not None:
        return declared.scheme(declared.background), (), ()
    in_files = values_in_files([case.labels for case in cases], workers=workers)
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
