"""Describe a dataset whose layout follows no fixed convention, from its names and contents."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.core.labels import LabelScheme
from autoseg.datasets.issues import CaseIssue
from autoseg.datasets.layouts.conversion import LabelSources, convert_labels
from autoseg.datasets.layouts.decathlon import listed_cases
from autoseg.datasets.layouts.declared_labels import declared_labels
from autoseg.datasets.layouts.description import Description, labelled_pairs, load_description
from autoseg.datasets.layouts.facts import DESCRIPTION, Sources
from autoseg.datasets.layouts.inference import Reading
from autoseg.datasets.layouts.label_map import choose_classes
from autoseg.datasets.recognition.annotations.finding import find_annotations
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.cases import recognise_cases
from autoseg.datasets.recognition.class_tables import ClassTable, find_class_table
from autoseg.datasets.recognition.inventory import Inventory, take_inventory
from autoseg.datasets.recognition.matching import explain_unpaired
from autoseg.datasets.recognition.recognised import RecognisedCases
from autoseg.datasets.recognition.roles import name_items
from autoseg.documents.dataset import AUTOMATIC, CaseFiles, LayoutOptions
from autoseg.readers import stem_of
from autoseg.readers.names import missing_package, without_channel_suffix

NAME = "names and contents"

LOSSY = (".jpg", ".jpeg")
"""Endings of files whose compression alters values."""


@dataclass(frozen=True)
class DescribedCases:
    """Cases and classes of a dataset.

    Attributes:
        cases: Cases to train on and to hold out.
        test_cases: Labelled test cases.
        validation: Names of the cases of a validation part.
        labels: The classes.
        channels: Name of each channel; empty if it is not known.
        channel_source: Where these names are from.
        issues: Issues of cases that are left out.
        sources: Where the classes and groups are from, with the label files of the first case.
        notes: Sentences on what was left out.
    """

    cases: tuple[CaseFiles, ...]
    test_cases: tuple[CaseFiles, ...]
    validation: tuple[str, ...]
    labels: LabelScheme
    channels: tuple[str, ...]
    channel_source: str
    issues: tuple[CaseIssue, ...]
    sources: Sources
    notes: tuple[str, ...]


def describe_by_rules(
    root: Path, options: LayoutOptions, reading: Reading
) -> DescribedCases | None:
    """Find cases and classes by general rules.

    Args:
        root: Folder of the dataset.
        options: Choices of the user.
        reading: How label files are read.

    Returns:
        The dataset; None if no image has labels.

    Raises:
        DatasetError: If several answers are possible, or a label map would have to be made without
            a folder for it.
    """
    with _no_garbage_collection():
        inventory = take_inventory(root)
        found = recognise_described(inventory, options)
    if found is None:
        return None
    description = load_description(root)
    declared = declared_labels(description) if description else None
    form, label_map = choose_classes(found.form, options.label_map)
    table = ClassTable()
    if label_map is None:
        table = find_class_table(root, (*inventory.texts, *inventory.tables))
    converted = convert_labels(
        (*found.cases, *found.test_cases),
        LabelSources(form, found.parts, table, declared, label_map),
        reading,
    )
    remaining = {case.name: case for case in converted.cases}
    cases = tuple(remaining[case.name] for case in found.cases if case.name in remaining)
    return DescribedCases(
        cases=cases,
        test_cases=tuple(remaining[c.name] for c in found.test_cases if c.name in remaining),
        validation=tuple(name for name in found.validation if name in remaining),
        labels=converted.labels,
        channels=found.channels,
        channel_source=found.channel_source,
        issues=converted.issues,
        sources=Sources(
            example=_label_files(found.parts, cases),
            channels="",
            classes=converted.source,
            groups=found.group_source,
            are_converted=converted.are_converted,
        ),
        notes=(*found.notes, *form.notes[len(found.form.notes) :], *converted.notes),
    )


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Stop the search for reference cycles, which takes a third of the time with 10⁵ files."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def recognise_described(inventory: Inventory, options: LayoutOptions) -> RecognisedCases | None:
    """Find cases by general rules, with the test cases and groups that a dataset.json lists.

    Args:
        inventory: The content of the folder.
        options: Choices of the user.

    Returns:
        The cases; None if no image has labels.

    Raises:
        DatasetError: If several answers are possible, or the dataset.json leaves no case to train
            on.
    """
    found = recognise_cases(inventory, options)
    description = load_description(inventory.root)
    if found is None or description is None:
        return found
    return _with_listed_parts(_with_groups(found, description, options), description, inventory)


def _with_listed_parts(
    found: RecognisedCases, description: Description, inventory: Inventory
) -> RecognisedCases:
    """Move cases to the test cases and to the validation part if a dataset.json lists them so."""
    test, held_out = (
        _listed_images(entries, inventory.root)
        for entries in (description.test, description.validation)
    )

    def has(case: CaseFiles, images: set[Path]) -> bool:
        return any(path.resolve() in images for path in case.images)

    moved = tuple(case for case in found.cases if has(case, test))
    cases = tuple(case for case in found.cases if not has(case, test))
    if moved and not cases:
        raise DatasetError(
            f"dataset.json lists all {format_count(len(moved), 'case')} as test cases, so that "
            "none is left to train on. Choose other images, or correct dataset.json."
        )
    names = [c.name for c in cases if c.name in found.validation or has(c, held_out)]
    number = format_count(len(moved), "case")
    note = f"{number} listed as test in dataset.json not used for training"
    return replace(
        found,
        cases=cases,
        notes=(*found.notes, note) if moved else found.notes,
        test_cases=(*found.test_cases, *moved),
        validation=tuple(names) if len(names) < len(cases) else (),
    )


def _listed_images(entries: object, root: Path) -> set[Path]:
    """Return the images in a list of a dataset.json, with or without labels."""
    everything = entries if isinstance(entries, list) else []
    pairs = labelled_pairs(
        [{"image": one, "label": one} if isinstance(one, str) else one for one in everything]
    )
    return {image.resolve() for case in listed_cases(root, pairs) for image in case.images}


def _with_groups(
    found: RecognisedCases, description: Description, options: LayoutOptions
) -> RecognisedCases:
    """Give cases the groups that a dataset.json declares for their names, or those of their images.

    Groups that the user has chosen with a table or a pattern remain.
    """
    texts = (*options.images, *options.labels)
    is_chosen = any("{group}" in text for text in texts) or (
        options.table is not None and bool(found.group_source)
    )
    if not description.groups or is_chosen:
        return found
    unknown = set(description.groups)

    def grouped(case: CaseFiles) -> CaseFiles:
        names = (case.name, without_channel_suffix(stem_of(case.images[0])))
        name = next((name for name in names if name in description.groups), None)
        unknown.discard(name or "")
        group = case.group if name is None else str(description.groups[name])
        return case.model_copy(update={"group": group})

    cases, test_cases = (tuple(map(grouped, side)) for side in (found.cases, found.test_cases))
    note = (
        f"dataset.json declares groups for {format_count(len(unknown), 'name')} without a case, "
        f"such as {format_names(sorted(unknown), 3)}"
    )
    return replace(
        found,
        cases=cases,
        test_cases=test_cases,
        group_source=DESCRIPTION,
        notes=(*found.notes, note) if unknown else found.notes,
    )


def _label_files(parts: dict[str, LabelParts], cases: tuple[CaseFiles, ...]) -> tuple[Path, ...]:
    """Return the label files of the first case by name."""
    first = min(cases, key=lambda case: case.name, default=None)
    return tuple(path for _, path in parts[first.name].files) if first else ()


def unrecognised(root: Path, options: LayoutOptions = AUTOMATIC) -> str:
    """Return sentences on a folder in which no image has labels: what was found and expected."""
    inventory = take_inventory(root)
    found = Counter(item.ending for item in inventory.items) + inventory.unread
    files = format_names(
        [f"{count} {ending or 'without extension'}" for ending, count in found.items()], 8
    )
    notes = "".join(f"{note}. " for note in find_annotations(inventory).notes)
    packages = [sentence for ending in inventory.unread if (sentence := missing_package(ending))]
    damaged = [path.as_posix() for path in inventory.damaged]
    unreadable = f"These cannot be read: {format_names(damaged, 3)}. " if damaged else ""
    lossy = [
        entry.item.path
        for entry in name_items(inventory.items)
        if entry.words.role == "label" and entry.item.ending in LOSSY
    ]
    jpegs = lossy and (
        f"{len(lossy)} files named as labels, such as {lossy[0]}, are JPEGs, which hold labels "
        "only as masks of black and white; export them as .png from the original annotation. "
    )
    return (
        f"no image with labels was recognised; found files {files or 'none'}. {unreadable}"
        f"{''.join(f'{sentence} ' for sentence in packages)}{notes}{jpegs or ''}"
        f"{explain_unpaired(root, options)}Expected image files and label files whose paths share "
        "the name of the case, such as images/case_1.nii.gz and labels/case_1.nii.gz, a "
        "dataset.json that lists image and label pairs, or files with outlines, such as COCO JSON."
    )
