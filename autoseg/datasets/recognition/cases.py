"""Describe the cases of a folder whose layout follows no fixed convention."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.core.errors import CaseError, DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.contents import content_of
from autoseg.datasets.recognition.inventory import Inventory, Item, take_inventory
from autoseg.datasets.recognition.label_forms import SAMPLED, LabelForm, choose_labels
from autoseg.datasets.recognition.lists import Lists, listed_pairs, listed_parts
from autoseg.datasets.recognition.pairing import (
    Joined,
    Key,
    Named,
    Pairing,
    name_items,
    pair_named,
)
from autoseg.datasets.recognition.patterns import choose_by_patterns, suggest_pattern
from autoseg.datasets.recognition.shapes import AnnotatedImage, find_annotations
from autoseg.datasets.recognition.tokens import Part, is_id, path_tokens, tokens
from autoseg.documents.dataset import (
    AUTOMATIC,
    CaseFiles,
    LayoutOptions,
    MaskForm,
    is_valid_folder_name,
)
from autoseg.readers import read_header


@dataclass(frozen=True)
class RecognisedCases:
    """The cases of a folder.

    Attributes:
        cases: Cases to train on and to hold out; `labels` of those whose labels are converted is
            the first of their files.
        test_cases: Labelled test cases.
        validation: Names of the cases of a validation part.
        form: How the label files store the classes.
        parts: The label files of each case.
        channels: Name of each channel, if there is a file per channel.
        sources: Tables and lists that were read, relative to the folder.
        notes: Sentences on what was found and left out.
    """

    cases: tuple[CaseFiles, ...]
    test_cases: tuple[CaseFiles, ...]
    validation: tuple[str, ...]
    form: LabelForm
    parts: dict[str, LabelParts]
    channels: tuple[str, ...]
    sources: tuple[str, ...]
    notes: tuple[str, ...]


def recognise_cases(root: Path, options: LayoutOptions = AUTOMATIC) -> RecognisedCases | None:
    """Find the cases of a folder by the words and ids in its paths.

    Args:
        root: The folder.
        options: Patterns of images and labels, and the form of the labels.

    Returns:
        The cases; None if no image has labels.

    Raises:
        DatasetError: If several answers are possible.
    """
    inventory = take_inventory(root)
    listed = listed_pairs(inventory) if options == AUTOMATIC else Lists()
    pairing, groups = _paired(inventory, listed, options)
    if not pairing.cases:
        annotated = find_annotations(inventory)
        return _from_shapes(annotated, inventory) if annotated else None
    found = _described(pairing, groups, listed, inventory, options.mask)
    return found if found.cases else None


def _described(
    pairing: Pairing,
    groups: list[str | None],
    listed: Lists,
    inventory: Inventory,
    mask: MaskForm | None,
) -> RecognisedCases:
    """Name the cases, and find out their channels, labels and parts."""
    root = inventory.root
    form = choose_labels(pairing.cases, root, mask)
    channels, notes = _channels(pairing.cases, form, root)
    names = _case_names(pairing.cases, channels)
    lists = listed if listed.pairs else listed_parts(inventory, names)
    found: dict[Part, list[CaseFiles]] = {part: [] for part in Part}
    parts: dict[str, LabelParts] = {}
    for case, name, group in zip(pairing.cases, names, groups, strict=True):
        files = _files(case, form, channels, root)
        if files is None:
            continue
        parts[name] = replace(files, case=name)
        found[lists.parts.get(name, case.part) or Part.TRAINING].append(
            CaseFiles(
                name=name,
                images=tuple(
                    root / case.images[k][0].item.path for k in channels if k in case.images
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
        channels=_channel_names(channels),
        sources=tuple(path.as_posix() for path in lists.sources),
        notes=(*form.notes, *notes, *_left_out(inventory, pairing)),
    )


def _from_shapes(annotated: list[AnnotatedImage], inventory: Inventory) -> RecognisedCases:
    """Return the cases of images that have shapes in JSON files."""
    root = inventory.root
    stems = [image.item.stem for image in annotated]
    if len(set(stems)) < len(stems):
        stems = ["_".join((*i.item.path.parent.parts, i.item.stem)) for i in annotated]
    classes = sorted({shape.name for image in annotated for shape in image.shapes})
    names = {0: "background"} | dict(enumerate(classes, start=1))
    found: dict[Part, list[CaseFiles]] = {part: [] for part in Part}
    parts = {}
    for image, name in zip(annotated, stems, strict=True):
        path, source = root / image.item.path, root / image.source
        part = image.part or path_tokens(image.item.path, image.item.stem).part
        parts[name] = LabelParts(name, ((1, source),), path, tuple(image.shapes))
        case = CaseFiles(name=name, images=(path,), labels=source)
        found[part or Part.TRAINING].append(case)
    training, held_out = found[Part.TRAINING], found[Part.VALIDATION]
    files = sorted({image.source.as_posix() for image in annotated})
    shapes = sum(len(image.shapes) for image in annotated)
    note = f"{format_count(shapes, 'shape')} drawn as label maps, from {format_names(files, 3)}"
    left = len(inventory.items) - len(annotated)
    return RecognisedCases(
        cases=(*training, *held_out),
        test_cases=tuple(found[Part.TEST]),
        validation=tuple(case.name for case in held_out) if training else (),
        form=LabelForm("polygons", (), names),
        parts=parts,
        channels=(),
        sources=tuple(files),
        notes=(note, *([f"{left} images without shapes left out"] if left else [])),
    )


def _paired(
    inventory: Inventory, listed: Lists, options: LayoutOptions
) -> tuple[Pairing, list[str | None]]:
    """Return the cases and their groups: from a table of pairs, otherwise from the paths."""
    if listed.pairs:
        return _from_table(listed, inventory)
    named = choose_by_patterns(name_items(inventory.items), options.images, options.labels)
    pairing = pair_named(named, lambda items: _look_like_labels(inventory.root, items))
    return pairing, _groups(pairing.cases)


def _files(case: Joined, form: LabelForm, channels: Sequence[Key], root: Path) -> LabelParts | None:
    """Return the label files of a case; None if it has no image, or no labels."""
    labels = tuple((value, root / item.path) for value, item in _label_files(case, form))
    image = next((case.images[key][0].item.path for key in channels if key in case.images), None)
    if image is None or (not labels and form.form != "classes"):
        return None
    return LabelParts("", labels, root / image)


def _from_table(listed: Lists, inventory: Inventory) -> tuple[Pairing, list[str | None]]:
    """Return the pairs of a table as cases, and their groups."""
    items = {item.path: item for item in inventory.items}
    cases = []
    for pair in listed.pairs:
        case = Joined(pair.part, (items[pair.image].stem,))
        for files, path in ((case.images, pair.image), (case.labels, pair.label)):
            files[()].append(Named(items[path], path_tokens(path, items[path].stem)))
        cases.append(case)
    used = {path for pair in listed.pairs for path in (pair.image, pair.label)}
    others = tuple(item for item in inventory.items if item.path not in used)
    return Pairing(tuple(cases), (), (), others), [pair.group for pair in listed.pairs]


def _look_like_labels(root: Path, items: Sequence[Item]) -> bool:
    sample = items[:: max(1, len(items) // SAMPLED)][:SAMPLED]
    contents = [content_of(root / item.path) for item in sample]
    return all(content is not None and content.looks_like_labels for content in contents)


def _label_files(case: Joined, form: LabelForm) -> list[tuple[int, Item]]:
    """Return the label files of a case and the value of each."""
    if form.form == "objects":
        return [(1, files[0].item) for files in case.labels.values()]
    return [
        (value, case.labels[key][0].item)
        for value, key in enumerate(form.series, start=1)
        if key in case.labels
    ]


def _channels(
    cases: Sequence[Joined], form: LabelForm, root: Path
) -> tuple[tuple[Key, ...], tuple[str, ...]]:
    """Return the tokens of the image files that are channels, and sentences on the others.

    Raises:
        DatasetError: If no series of images is on the grid of the labels.
    """
    counts = Counter(key for case in cases for key in case.images)
    common = [key for key, count in counts.items() if count >= 0.9 * len(cases)]
    if len(counts) == 1 or (not common and all(len(case.images) == 1 for case in cases)):
        return tuple(counts), ()
    fitting = [key for key in sorted(common) if _on_grid(cases, key, form, root)]
    if not fitting:
        kinds = format_names([" ".join(key) for key in counts])
        raise DatasetError(
            f"{root}: images of several kinds per case, {kinds}, of which none is on the grid of "
            "the labels. Choose one with its option --image, for example --image "
            f"{shlex.quote(suggest_pattern(next(iter(cases[0].images.values()))[0], cases[0].key))}"
        )
    left_out = [" ".join(key) or "without a name" for key in counts if key not in fitting]
    if not left_out:
        return tuple(fitting), ()
    note = (
        "images left out, because they are missing for some cases or not on the grid of the "
        f"labels: {format_names(left_out)}"
    )
    return tuple(fitting), (note,)


def _on_grid(cases: Sequence[Joined], key: Key, form: LabelForm, root: Path) -> bool:
    """Return True if a sample of images has the shape of the labels."""
    having = [case for case in cases if key in case.images and _label_files(case, form)]
    for case in having[:: max(1, len(having) // SAMPLED)][:SAMPLED]:
        image = root / case.images[key][0].item.path
        labels = root / _label_files(case, form)[0][1].path
        try:
            if read_header(image).shape != read_header(labels).shape:
                return False
        except CaseError:
            continue
    return True


def _channel_names(channels: tuple[Key, ...]) -> tuple[str, ...]:
    if len(channels) == 1:
        return ()
    return tuple(
        "_".join(_distinct(key, channels)) or f"channel_{n}" for n, key in enumerate(channels)
    )


def _distinct(key: Key, keys: Sequence[Key]) -> list[str]:
    return [token for token in key if not all(token in other for other in keys)]


def _case_names(cases: Sequence[Joined], channels: Sequence[Key]) -> list[str]:
    """Name the cases after their images, or after the folders that tell them apart."""
    images = [next(iter(case.images.values()))[0] for case in cases]
    choices = [
        [image.item.stem for image in images] if len(channels) == 1 else [],
        [_folder_name(image, case) for image, case in zip(images, cases, strict=True)],
        ["_".join(case.key) for case in cases],
        [f"{_folder_name(i, case)}_{i.item.stem}" for i, case in zip(images, cases, strict=True)],
    ]
    for names in choices:
        if len(set(names)) == len(cases) and all(map(is_valid_folder_name, names)):
            return names
    return ["_".join((case.part.value if case.part else "", *case.key)) for case in cases]


def _folder_name(image: Named, case: Joined) -> str:
    """Return the name of the deepest folder that has an id of the case."""
    for name in reversed(image.item.path.parts[:-1]):
        if any(is_id(token) for token in set(tokens(name)) & set(case.key)):
            return name
    return ""


def _groups(cases: Sequence[Joined]) -> list[str | None]:
    """Group cases that lie in one folder whose name has the first id of their own names."""
    folders = []
    for case in cases:
        named = next(iter(case.images.values()))[0]
        folders.append(tuple(token for token in named.words.folder_key if token in case.key))
    counts = Counter(folders)
    is_grouped = any(count > 1 for count in counts.values()) and len(counts) > 1
    is_grouped &= all(any(map(is_id, key)) for key in counts)
    return ["_".join(key) if is_grouped else None for key in folders]


def _left_out(inventory: Inventory, pairing: Pairing) -> tuple[str, ...]:
    """Return sentences on files that are not used."""
    first = [next(iter(case.images.values()))[0].item for case in pairing.unlabelled]
    orphans = [next(iter(case.labels.values()))[0].item for case in pairing.orphans]
    kinds = (
        ("images without labels", [item.path for item in first]),
        ("labels without an image", [item.path for item in orphans]),
        ("files that are neither images nor labels of a case", [i.path for i in pairing.others]),
        ("links to missing files", inventory.broken_links),
    )
    return tuple(
        f"{len(paths)} {kind} left out, for example {paths[0]}" for kind, paths in kinds if paths
    )
