"""Match the images and labels of a folder, by the words of their paths and by their contents."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from autoseg.core.errors import CaseError
from autoseg.core.formatting import format_count
from autoseg.datasets.recognition.checks import check_pairing
from autoseg.datasets.recognition.contents import content_of
from autoseg.datasets.recognition.inventory import Inventory, Item, take_inventory
from autoseg.datasets.recognition.label_series import SAMPLED
from autoseg.datasets.recognition.pairing import Joined, Named, Pairing, pair_named
from autoseg.datasets.recognition.patterns import suggest_case_pattern
from autoseg.datasets.recognition.roles import alike, assign_roles, name_items, with_other_images
from autoseg.datasets.recognition.tokens import Part
from autoseg.documents.dataset import LayoutOptions
from autoseg.readers import read_header


def match_files(inventory: Inventory, options: LayoutOptions) -> Pairing:
    """Find the images and labels of a folder, and join them into cases.

    Files without a word for images are images too, if those with such a word are not on the grid
    of their labels.

    Raises:
        DatasetError: If the user has chosen no images, and others are as good an answer.
    """
    named = _with_roles(inventory, options)
    pairing = pair_named(named)
    has_others = any(entry.words.role is None for entry in named)
    if has_others and pairing.cases and not _is_on_grid(pairing.cases, inventory.root):
        wider = pair_named(with_other_images(named))
        if wider.cases and _is_on_grid(wider.cases, inventory.root):
            pairing = wider
    if not options.images:
        check_pairing(pairing, inventory.root)
    return pairing


def _with_roles(inventory: Inventory, options: LayoutOptions) -> list[Named]:
    def look_like_labels(items: Sequence[Item]) -> bool | None:
        found = _look_like_labels(inventory.root, items)
        return None if options.label_form and not found else found

    named = name_items(inventory.items)
    return assign_roles(named, look_like_labels, options.images, options.labels)


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


def _is_on_grid(cases: Sequence[Joined], root: Path) -> bool:
    """Return True if an image of a few cases has the shape of a label file of its case."""
    for case in cases[:: max(1, len(cases) // SAMPLED)][:SAMPLED]:
        images, labels = (
            {shape for files in side.values() for shape in _shapes(files, root)}
            for side in (case.images, case.labels)
        )
        if images & labels:
            return True
    return False


def _shapes(files: Sequence[Named], root: Path) -> list[tuple[int, ...]]:
    try:
        return [tuple(read_header(entry.item.file(root)).shape) for entry in files]
    except CaseError:
        return []


def explain_unpaired(root: Path, options: LayoutOptions) -> str:
    """Return sentences on why no image of a folder has labels, with options; may be empty."""
    inventory = take_inventory(root)
    named = _with_roles(inventory, options)
    images = [entry for entry in named if entry.words.role == "image"]
    labels = [entry for entry in named if entry.words.role == "label"]
    if not images or not labels:
        return "" if labels else _why_no_labels(inventory, name_items(inventory.items))
    pairing = pair_named(named)
    if pairing.cases and all(case.part is Part.TEST for case in pairing.cases):
        return f"all {format_count(len(pairing.cases), 'case')} with labels are in the test part. "
    reason = pairing.reason
    kinds = (max(alike(entries).values(), key=len) for entries in (images, labels))
    patterns = [
        suggest_case_pattern(kind if len(kind) > 1 else entries)
        for kind, entries in zip(kinds, (images, labels), strict=True)
    ]
    return (
        f"{format_count(len(images), 'file')}, such as {images[0].item.path}, taken as images; "
        f"{format_count(len(labels), 'file')}, such as {labels[0].item.path}, taken as labels; "
        f"{reason or 'no label file can be used'}. Choose files and the name of the case in their "
        f"paths with patterns, such as --image {shlex.quote(patterns[0])} --label "
        f"{shlex.quote(patterns[1])}. "
    )


def _why_no_labels(inventory: Inventory, named: Sequence[Named]) -> str:
    """Return a sentence on files that are named as labels but hold none; empty without any."""
    labels = [entry.item for entry in named if entry.words.role == "label"]
    if not labels:
        return ""
    number = f"{format_count(len(labels), 'file')}, such as {labels[0].path}, named as labels"
    try:
        header = read_header(labels[0].file(inventory.root))
    except CaseError as error:
        return f"{number}, but {error} "
    if header.num_channels > 1 and len(header.shape) > 2:
        return (
            f"{number}, but with {header.num_channels} channels or frames; expected one value per "
            "voxel. Split 4-D files into a file per frame. "
        )
    return f"{number}, but with many values, as in images. "
