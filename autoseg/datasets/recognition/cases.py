"""Describe the cases of a folder whose layout follows no fixed convention."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.annotated_cases import cases_of_annotations, choose_annotations
from autoseg.datasets.recognition.annotations.finding import find_annotations
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.case_names import (
    Groups,
    find_groups,
    first_image,
    group_note,
    name_cases,
)
from autoseg.datasets.recognition.channels import choose_channels
from autoseg.datasets.recognition.class_tables import lists_classes
from autoseg.datasets.recognition.dicom_cases import (
    cases_of_series,
    choose_segmentations,
    patient_groups,
)
from autoseg.datasets.recognition.inventory import (
    HEADERS,
    Inventory,
    Item,
    choose_series,
    modality_of,
)
from autoseg.datasets.recognition.keys import Key
from autoseg.datasets.recognition.label_forms import LabelForm, choose_labels
from autoseg.datasets.recognition.label_series import forget_contents
from autoseg.datasets.recognition.lists import Lists, listed_pairs, listed_parts
from autoseg.datasets.recognition.matching import match_files
from autoseg.datasets.recognition.pairing import Joined, Pairing
from autoseg.datasets.recognition.patterns import choose_test_cases
from autoseg.datasets.recognition.recognised import RecognisedCases
from autoseg.datasets.recognition.table_cases import cases_of_table, given_pairs
from autoseg.datasets.recognition.tokens import Part
from autoseg.documents.dataset import (
    AUTOMATIC,
    CaseFiles,
    LayoutOptions,
)


def recognise_cases(
    inventory: Inventory, options: LayoutOptions = AUTOMATIC
) -> RecognisedCases | None:
    """Find the cases of a folder by the words and ids in its paths.

    Args:
        inventory: The content of the folder.
        options: Patterns of images and labels, and the form of the labels.

    Returns:
        The cases; None if no image has labels.

    Raises:
        DatasetError: If several answers are possible.
    """
    inventory = choose_series(inventory, options.series)
    found = _recognised(inventory, options)
    if found is None:
        return None
    cases, test_cases = choose_test_cases(
        found.cases, found.test_cases, options.test, inventory.root
    )
    names = {case.name for case in cases}
    held_out = tuple(name for name in found.validation if name in names)
    held_out = held_out if len(held_out) < len(cases) else ()
    found = replace(found, cases=cases, test_cases=test_cases, validation=held_out)
    return found if found.cases else None


def _listed(inventory: Inventory, options: LayoutOptions) -> Lists:
    if options.table:
        return given_pairs(inventory, options.table)
    return Lists() if options.choose_files else listed_pairs(inventory)


def _recognised(inventory: Inventory, options: LayoutOptions) -> RecognisedCases | None:
    """Find the cases by what the user chose, otherwise by label files, otherwise by annotations."""
    if choose_segmentations(inventory, options.labels):
        return cases_of_series(inventory, options)
    chosen = choose_annotations(inventory, options)
    if chosen.images:
        return cases_of_annotations(chosen, inventory, options)
    listed = _listed(inventory, options)
    pairing, groups = _paired(inventory, listed, options)
    if pairing.cases:
        return _described(pairing, groups, listed, inventory, options)
    segmented = cases_of_series(inventory, options)
    return segmented or cases_of_annotations(find_annotations(inventory), inventory, options)


def _described(
    pairing: Pairing,
    groups: Groups,
    listed: Lists,
    inventory: Inventory,
    options: LayoutOptions,
) -> RecognisedCases:
    """Name the cases, and find out their channels, labels and parts."""
    root = inventory.root
    are_declared = bool(options.label_map) or lists_classes(inventory)
    form = choose_labels(pairing.cases, root, options.label_form, are_declared=are_declared)
    forget_contents()
    channels = choose_channels(
        pairing.cases, lambda case: next((item for _, item in _label_files(case, form)), None), root
    )
    names = name_cases(pairing.cases, channels.keys, root)
    modality = modality_of(first_image(case).item for case in pairing.cases)
    lists = listed if listed.pairs else _listed_parts(inventory, pairing.cases, names)
    found: dict[Part, list[CaseFiles]] = {part: [] for part in Part}
    parts: dict[str, LabelParts] = {}
    incomplete = []
    for case, name, group in zip(pairing.cases, names, groups.names, strict=True):
        files = _files(case, form, channels.keys, root)
        if files is None:
            incomplete.append(name)
            continue
        parts[name] = replace(files, case=name)
        found[lists.parts.get(name, case.part) or Part.TRAINING].append(
            CaseFiles(
                name=name,
                images=tuple(
                    case.images[k][0].item.file(root) for k in channels.keys if k in case.images
                ),
                labels=files.files[0][1] if files.files else files.like,
                group=lists.groups.get(name, group),
            )
        )
    training, held_out = found[Part.TRAINING], found[Part.VALIDATION]
    return RecognisedCases(
        cases=(*training, *held_out),
        test_cases=tuple(found[Part.TEST]),
        validation=tuple(case.name for case in held_out) if training else (),
        form=form,
        parts=parts,
        channels=channels.names or modality,
        channel_source="the names of files" if channels.names else HEADERS,
        group_source=_group_source(lists, groups),
        notes=(
            *form.notes,
            *channels.notes,
            *lists.notes,
            *(() if lists.groups else group_note(pairing.cases, groups)),
            *_left_out(inventory, pairing, incomplete),
        ),
    )


def _listed_parts(inventory: Inventory, cases: Sequence[Joined], names: Sequence[str]) -> Lists:
    """Return the parts and groups in tables and lists, by names of cases or of their folders."""
    folders = [first_image(case).item.path.parts[:-1] for case in cases]
    return listed_parts(inventory, names, folders)


def _paired(inventory: Inventory, listed: Lists, options: LayoutOptions) -> tuple[Pairing, Groups]:
    """Return the cases and their groups: from a table of pairs, otherwise from the paths."""
    if listed.pairs:
        return cases_of_table(listed, inventory)
    pairing = match_files(inventory, options)
    groups = find_groups(pairing.cases)
    if not any(groups.names):
        groups = Groups(patient_groups([first_image(c).item for c in pairing.cases]), HEADERS)
    return pairing, groups


def _files(case: Joined, form: LabelForm, channels: Sequence[Key], root: Path) -> LabelParts | None:
    """Return the label files of a case; None if it has no image, or no labels."""
    labels = tuple((value, item.file(root)) for value, item in _label_files(case, form))
    image = next((case.images[key][0].item for key in channels if key in case.images), None)
    if image is None or (not labels and form.form != "classes"):
        return None
    return LabelParts("", labels, image.file(root))


def _label_files(case: Joined, form: LabelForm) -> list[tuple[int, Item]]:
    """Return the label files of a case and the value of each."""
    found = [
        (form.files[key], files[0].item) for key, files in case.labels.items() if key in form.files
    ]
    return sorted(found, key=lambda pair: pair[0])


def _group_source(lists: Lists, groups: Groups) -> str:
    """Return the source of the groups of cases."""
    return format_names([path.as_posix() for path in lists.group_sources]) or groups.source


def _left_out(inventory: Inventory, pairing: Pairing, incomplete: Sequence[str]) -> tuple[str, ...]:
    """Return sentences on files that are not used."""
    images = [f for case in pairing.unlabelled for files in case.images.values() for f in files]
    orphans = [f for case in pairing.orphans for files in case.labels.values() for f in files]
    kinds: tuple[tuple[str, str, Sequence[object]], ...] = (
        ("case", "without the images or labels that other cases have", incomplete),
        ("image", "without labels", [entry.item.path for entry in images]),
        ("label file", "without an image", [entry.item.path for entry in orphans]),
        ("file", "in no case", [item.path for item in pairing.others]),
        ("link", "to missing files", inventory.broken_links),
        ("file", "that cannot be read", inventory.damaged),
    )
    return tuple(
        f"{format_count(len(paths), noun)} {kind} left out, for example {paths[0]}"
        for noun, kind, paths in kinds
        if paths
    )
