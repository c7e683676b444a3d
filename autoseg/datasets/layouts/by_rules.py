"""Describe a dataset whose layout follows no fixed convention, from its names and contents."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.formatting import format_names
from autoseg.core.labels import LabelScheme
from autoseg.datasets.issues import CaseIssue
from autoseg.datasets.layouts.conversion import LabelSources, convert_labels
from autoseg.datasets.layouts.declared_labels import declared_labels
from autoseg.datasets.layouts.description import load_description
from autoseg.datasets.layouts.facts import Sources
from autoseg.datasets.layouts.inference import Reading
from autoseg.datasets.layouts.label_map import choose_classes
from autoseg.datasets.recognition.annotations.finding import find_annotations
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.cases import recognise_cases
from autoseg.datasets.recognition.class_tables import ClassTable, find_class_table
from autoseg.datasets.recognition.inventory import take_inventory
from autoseg.datasets.recognition.matching import explain_unpaired
from autoseg.datasets.recognition.roles import name_items
from autoseg.documents.dataset import AUTOMATIC, CaseFiles, LayoutOptions
from autoseg.readers.names import missing_package

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
        found = recognise_cases(inventory, options)
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
