"""Recognise how a folder is laid out and describe the dataset in it."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from autoseg.core.errors import DatasetError
from autoseg.core.labels import LabelScheme, unnamed
from autoseg.datasets.issues import CaseIssue, listed
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
"""Tried in this order."""

OBJECT_NUMBERS = (
    "the label values look like numbers of objects, not like classes: each file counts from 1 on, "
    "up to {largest} at the most. Every value is taken for a class. If they do number objects, set "
    "them all to 1; if they are classes, declare them in dataset.json."
)


@dataclass(frozen=True)
class Recognition:
    """A dataset as it lies on disk.

    Attributes:
        spec: The dataset with all cases that have their files.
        issues: What is wrong with the files of the other cases.
        notes: Sentences on what is no issue of a case but most likely a mistake.
    """

    spec: DatasetSpec
    issues: tuple[CaseIssue, ...]
    notes: tuple[str, ...] = ()


def recognise(root: Path, *, workers: int = 1) -> Recognition:
    """Return the dataset in a folder, whichever known layout it has; nothing is written there.

    The dataset is called after its folder.

    Args:
        root: The folder.
        workers: Processes that read label files, where no JSON says which values occur.

    Raises:
        DatasetError: If the folder is missing, of no known layout, or has no complete case.
    """
    root = root.resolve()
    if not root.is_dir():
        msg = f"{root} is not a folder. Give the folder that holds the dataset."
        raise DatasetError(msg)
    description = load_description(root)
    layout, found = _find_cases(root, description)
    cases = _with_groups(found.cases, description)
    test_set = find_test_set(root, description, cases)
    num_axes, num_channels = usual_axes_and_channels(cases)
    channel_names, told_channels = _channel_names(description, num_channels)
    labels, told_labels, label_notes = _label_scheme(description, cases, workers)
    spec = DatasetSpec(
        name=root.name,
        root=root,
        layout=layout,
        num_axes=3 if num_axes == 3 else 2,
        channel_names=channel_names,
        labels=labels,
        inferred=(*_told_files(layout, cases, num_axes), *told_channels, *told_labels),
        cases=tuple(sorted(cases, key=lambda case: case.name)),
        test_cases=_with_groups(test_set.cases, description),
    )
    names = {case.name for case in (*found.cases, *test_set.cases)}
    names |= {issue.case for issue in found.issues}
    notes = (
        *found.notes,
        *label_notes,
        *_notes_on_groups(description, names, spec),
        *test_set.notes,
        *_notes_on_leaks(spec),
    )
    return Recognition(spec=spec, issues=found.issues, notes=notes)


class CaseNames(NamedTuple):
    """Names of the cases of a dataset.

    Attributes:
        training: Of all that are there to be trained on, also of those that lack files.
        test: Of those of a test set that have all their files.
    """

    training: frozenset[str]
    test: frozenset[str]


def case_names(root: Path) -> CaseNames:
    """Return the names of the cases of a dataset; no image is opened.

    Raises:
        DatasetError: If the folder is missing, of no known layout, has no complete case, or a test
            image is that of a training case.
    """
    description = load_description(root.resolve())
    _, found = _find_cases(root.resolve(), description)
    test_set = find_test_set(root.resolve(), description, found.cases)
    faulty = (issue.case for issue in found.issues)
    return CaseNames(
        training=frozenset({*(case.name for case in found.cases), *faulty}),
        test=frozenset(case.name for case in test_set.cases),
    )


def _find_cases(root: Path, description: Description | None) -> tuple[str, FoundCases]:
    """Return the name of the layout that fits, and the cases in it.

    Raises:
        DatasetError: If none fits, or no case is complete.
    """
    for layout in LAYOUTS:
        found = layout.find_cases(root, description)
        if found is None:
            continue
        if not found.cases:
            reason = listed(found.issues) or f"  no image files; known are {', '.join(ENDINGS)}"
            msg = f"{root} looks like a {layout.NAME} dataset, but no case is complete:\n{reason}"
            raise DatasetError(msg)
        return layout.NAME, found
    inside = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    msg = (
        f"{root} is no dataset of a known layout; in it are {', '.join(inside[:8]) or 'no files'}. "
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


def _notes_on_groups(
    description: Description | None, names: set[str], spec: DatasetSpec
) -> tuple[str, ...]:
    """Return a sentence if groups are given for cases that do not exist: a typing error, mostly."""
    unknown = sorted(set(description.groups) - names) if description else []
    if not unknown:
        return ()
    note = (
        f"groups are given for {len(unknown)} names that no case has: {', '.join(unknown[:5])}. "
        f"Cases are called like {spec.cases[0].name}; one without a group is a group of its own."
    )
    return (note,)


def _notes_on_leaks(spec: DatasetSpec) -> tuple[str, ...]:
    """Return a sentence if a group is trained on and tested, which makes scores too good."""
    groups = {case.group for case in spec.cases} - {None}
    leaking = [case.name for case in spec.test_cases if case.group in groups]
    if not leaking:
        return ()
    note = (
        f"{len(leaking)} test cases are of groups that are also trained on, so that their scores "
        f"will be too good: {', '.join(leaking[:5])}."
    )
    return (note,)


def _channel_names(
    description: Description | None, num_channels: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the channel names, and a sentence if they are not declared."""
    declared = declared_channels(description) if description else None
    if declared is not None:
        return declared, ()
    plural = "s" if num_channels > 1 else ""
    told = f"{num_channels} unnamed channel{plural} per image, as counted in the files"
    return tuple(f"channel_{index}" for index in range(num_channels)), (told,)


def _label_scheme(
    description: Description | None, cases: tuple[CaseFiles, ...], workers: int
) -> tuple[LabelScheme, tuple[str, ...], tuple[str, ...]]:
    """Return the classes, sentences on what was not declared, and on what may be a mistake.

    Background is the label that is declared as `background`; else value 0, if it is declared or
    occurs in a file; else the lowest value.

    Raises:
        DatasetError: If there are fewer than two values.
    """
    declared = declared_labels(description) if description else None
    if declared is not None and declared.background is not None:
        return declared.scheme(declared.background), (), ()
    in_files = values_in_files([case.labels for case in cases], workers=workers)
    found = in_files.values
    told = f"label values {', '.join(map(str, found))}, as they occur in the label files"
    notes: tuple[str, ...] = ()
    if declared is None:
        if in_files.look_like_object_numbers:
            notes = (OBJECT_NUMBERS.format(largest=found[-1]),)
        names = {value: unnamed(value) for value in found} | {found[0]: BACKGROUND}
        declared = DeclaredLabels(names=names)
    elif 0 in found:
        declared = replace(declared, names=declared.names | {0: BACKGROUND})
    background = min(declared.names)
    return declared.scheme(background), (told, f"background is value {background}"), notes


def _told_files(layout: str, cases: tuple[CaseFiles, ...], num_axes: int) -> tuple[str, ...]:
    """Return sentences on the files, where no JSON lists them."""
    if layout != folders.NAME:
        return ()
    images = Counter(ending_of(path) for case in cases for path in case.images)
    labels = Counter(ending_of(case.labels) for case in cases)
    pairs = (
        f"{len(cases)} pairs of files with the same stem in {cases[0].images[0].parent.name}/ "
        f"({', '.join(images)}) and {cases[0].labels.parent.name}/ ({', '.join(labels)})"
    )
    return pairs, f"{num_axes}-D images"
