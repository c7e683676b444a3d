"""Describe the cases of a folder whose layout follows no fixed convention."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.annotated_cases import cases_of_annotations, choose_annotations
from autoseg.datasets.recognition.annotations.finding import find_annotations
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.case_names import group_cases, name_cases
from autoseg.datasets.recognition.channels import choose_channels
from autoseg.datasets.recognition.class_tables import lists_classes
from autoseg.datasets.recognition.contents import content_of
from autoseg.datasets.recognition.dicom_cases import (
    cases_of_series,
    choose_segmentations,
    find_segmented_series,
)
from autoseg.datasets.recognition.inventory import (
    HEADERS,
    Inventory,
    Item,
    choose_series,
    modality_of,
    take_inventory,
)
from autoseg.datasets.recognition.keys import Key, varying
from autoseg.datasets.recognition.label_forms import LabelForm, choose_labels
from autoseg.datasets.recognition.label_series import SAMPLED
from autoseg.datasets.recognition.lists import (
    Lists,
    given_pairs,
    listed_pairs,
    listed_parts,
)
from autoseg.datasets.recognition.pairing import Joined, Named, Pairing, pair_named
from autoseg.datasets.recognition.patterns import (
    choose_by_patterns,
    choose_test_cases,
    suggest_pattern,
)
from autoseg.datasets.recognition.recognised import RecognisedCases
from autoseg.datasets.recognition.roles import assign_roles, name_items
from autoseg.datasets.recognition.table_cases import cases_of_table
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
        return cases_of_series(find_segmented_series(inventory, options), inventory)
    chosen = choose_annotations(inventory, options)
    if chosen.images:
        return cases_of_annotations(chosen, inventory)
    listed = _listed(inventory, options)
    pairing, groups = _paired(inventory, listed, options)
    if pairing.cases:
        return _described(pairing, groups, listed, inventory, options)
    segmented = cases_of_series(find_segmented_series(inventory, options), inventory)
    return segmented or cases_of_annotations(find_annotations(inventory), inventory)


def _described(
    pairing: Pairing,
    groups: list[str | None],
    listed: Lists,
    inventory: Inventory,
    options: LayoutOptions,
) -> RecognisedCases:
    """Name the cases, and find out their channels, labels and parts."""
    root = inventory.root
    are_declared = bool(options.label_map) or lists_classes(inventory)
    form = choose_labels(pairing.cases, root, options.label_form, are_declared=are_declared)
    channels = choose_channels(
        pairing.cases, lambda case: next((item for _, item in _label_files(case, form)), None), root
    )
    names = name_cases(pairing.cases, channels.keys, root)
    modality = modality_of(next(iter(case.images.values()))[0].item for case in pairing.cases)
    lists = listed if listed.pairs else listed_parts(inventory, names)
    found: dict[Part, list[CaseFiles]] = {part: [] for part in Part}
    parts: dict[str, LabelParts] = {}
    incomplete = []
    for case, name, group in zip(pairing.cases, names, groups, strict=True):
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
        group_source=_group_source(lists, pairing),
        notes=(*form.notes, *channels.notes, *_left_out(inventory, pairing, incomplete)),
    )


def _paired(
    inventory: Inventory, listed: Lists, options: LayoutOptions
) -> tuple[Pairing, list[str | None]]:
    """Return the cases and their groups: from a table of pairs, otherwise from the paths."""
    if listed.pairs:
        return cases_of_table(listed, inventory)
    pairing = pair_named(_with_roles(inventory, options))
    return pairing, group_cases(pairing.cases)


def _with_roles(inventory: Inventory, options: LayoutOptions) -> list[Named]:
    named = choose_by_patterns(name_items(inventory.items), options.images, options.labels)

    def look_like_labels(items: Sequence[Item]) -> bool | None:
        found = _look_like_labels(inventory.root, items)
        return None if options.label_form and not found else found

    return assign_roles(named, look_like_labels)


def explain_unpaired(root: Path, options: LayoutOptions) -> str:
    """Return sentences on why no image of a folder has labels, with options; may be empty."""
    inventory = take_inventory(root)
    named = _with_roles(inventory, options)
    images = [entry for entry in named if entry.words.role == "image"]
    labels = [entry for entry in named if entry.words.role == "label"]
    if not images or not labels:
        return ""
    reason = pair_named(named).reason
    patterns = [
        suggest_pattern(entries[0], varying([entry.words.key for entry in entries])[0])
        for entries in (images, labels)
    ]
    return (
        f"{format_count(len(images), 'file')}, such as {images[0].item.path}, taken as images; "
        f"{format_count(len(labels), 'file')}, such as {labels[0].item.path}, taken as labels; "
        f"{reason or 'no label file can be used'}. Choose files and the name of the case in their "
        f"paths with patterns, such as --image {shlex.quote(patterns[0])} --label "
        f"{shlex.quote(patterns[1])}. "
    )


def _files(case: Joined, form: LabelForm, channels: Sequence[Key], root: Path) -> LabelParts | None:
    """Return the label files of a case; None if it has no image, or no labels."""
    labels = tuple((value, item.file(root)) for value, item in _label_files(case, form))
    image = next((case.images[key][0].item for key in channels if key in case.images), None)
    if image is None or (not labels and form.form != "classes"):
        return None
    return LabelParts("", labels, image.file(root))


def _look_like_labels(root: Path, items: Sequence[Item]) -> bool | None:
    """Decide whether files are labels.

    None if none of them can be read, or if they hold many whole numbers that fill areas, so that
    the words of their paths decide.
    """
    sample = items[:: max(1, len(items) // SAMPLED)][:SAMPLED]
    contents = [found for item in sample if (found := content_of(item.file(root))) is not None]
    if contents and all(content.looks_like_labels for content in contents):
        return True
    may_be_labels = all(c.is_grey and c.is_whole and c.fills_areas for c in contents)
    return None if may_be_labels else False


def _label_files(case: Joined, form: LabelForm) -> list[tuple[int, Item]]:
    """Return the label files of a case and the value of each."""
    found = [
        (form.files[key], files[0].item) for key, files in case.labels.items() if key in form.files
    ]
    return sorted(found, key=lambda pair: pair[0])


def _group_source(lists: Lists, pairing: Pairing) -> str:
    """Return where the groups of cases are from."""
    images = [entry for case in pairing.cases for files in case.images.values() for entry in files]
    has_pattern = any("group" in entry.fields for entry in images)
    tables = format_names([path.as_posix() for path in lists.group_sources])
    return tables or ("{group} of the patterns" if has_pattern else "folders")


def _left_out(inventory: Inventory, pairing: Pairing, incomplete: Sequence[str]) -> tuple[str, ...]:
    """Return sentences on files that are not used."""
    images = [f for case in pairing.unlabelled for files in case.images.values() for f in files]
    orphans = [f for case in pairing.orphans for files in case.labels.values() for f in files]
    kinds: tuple[tuple[str, Sequence[object]], ...] = (
        ("cases without the images or labels that other cases have", incomplete),
        ("images without labels", [entry.item.path for entry in images]),
        ("labels without an image", [entry.item.path for entry in orphans]),
        ("files that are neither images nor labels of a case", [i.path for i in pairing.others]),
        ("links to missing files", inventory.broken_links),
        ("files that cannot be read", inventory.damaged),
    )
    return tuple(
        f"{len(paths)} {kind} left out, for example {paths[0]}" for kind, paths in kinds if paths
    )
