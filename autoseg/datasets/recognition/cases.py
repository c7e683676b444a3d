"""Describe the cases of a folder whose layout follows no fixed convention."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from autoseg.core.errors import DatasetError
from autoseg.core.formatting import format_count, format_names
from autoseg.datasets.recognition.annotated_cases import cases_of_annotations, choose_annotations
from autoseg.datasets.recognition.annotations.finding import find_annotations
from autoseg.datasets.recognition.assembly import LabelParts
from autoseg.datasets.recognition.channels import choose_channels
from autoseg.datasets.recognition.class_tables import lists_classes
from autoseg.datasets.recognition.contents import content_of
from autoseg.datasets.recognition.dicom_cases import (
    cases_of_series,
    choose_segmentations,
    find_segmented_series,
)
from autoseg.datasets.recognition.inventory import (
    Inventory,
    Item,
    modality_of,
    modality_sentence,
    take_inventory,
)
from autoseg.datasets.recognition.keys import Key, as_numbers, varying
from autoseg.datasets.recognition.label_forms import LabelForm, choose_labels
from autoseg.datasets.recognition.label_series import SAMPLED
from autoseg.datasets.recognition.lists import ListedPair, Lists, listed_pairs, listed_parts
from autoseg.datasets.recognition.pairing import Joined, Named, Pairing, pair_named
from autoseg.datasets.recognition.patterns import choose_by_patterns, suggest_pattern
from autoseg.datasets.recognition.recognised import RecognisedCases
from autoseg.datasets.recognition.roles import assign_roles, name_items
from autoseg.datasets.recognition.tokens import Part, is_id, path_tokens, tokens
from autoseg.documents.dataset import (
    AUTOMATIC,
    CaseFiles,
    LayoutOptions,
    MaskForm,
    is_valid_folder_name,
)
from autoseg.readers import stem_of


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
    if choose_segmentations(inventory, options.labels):
        return cases_of_series(find_segmented_series(inventory, options), inventory)
    chosen = choose_annotations(inventory, options)
    if chosen.images:
        return cases_of_annotations(chosen, inventory)
    listed = listed_pairs(inventory) if options == AUTOMATIC else Lists()
    pairing, groups = _paired(inventory, listed, options)
    if not pairing.cases:
        segmented = cases_of_series(find_segmented_series(inventory, options), inventory)
        return segmented or cases_of_annotations(find_annotations(inventory), inventory)
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
    form = choose_labels(pairing.cases, root, mask, are_declared=lists_classes(inventory))
    channels = choose_channels(
        pairing.cases, lambda case: next((item for _, item in _label_files(case, form)), None), root
    )
    names = _case_names(pairing.cases, channels.keys, root)
    modality = modality_of(_first_image(case).item for case in pairing.cases)
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
        inferred=(
            *_group_sentences(found, lists, pairing),
            *(channels.inferred or modality_sentence(modality)),
        ),
        sources=tuple(path.as_posix() for path in lists.sources),
        notes=(*form.notes, *channels.notes, *_left_out(inventory, pairing, incomplete)),
    )


def _paired(
    inventory: Inventory, listed: Lists, options: LayoutOptions
) -> tuple[Pairing, list[str | None]]:
    """Return the cases and their groups: from a table of pairs, otherwise from the paths."""
    if listed.pairs:
        return _from_table(listed, inventory)
    pairing = pair_named(_with_roles(inventory, options))
    return pairing, _groups(pairing.cases)


def _with_roles(inventory: Inventory, options: LayoutOptions) -> list[Named]:
    named = choose_by_patterns(name_items(inventory.items), options.images, options.labels)

    def look_like_labels(items: Sequence[Item]) -> bool | None:
        found = _look_like_labels(inventory.root, items)
        return None if options.mask and not found else found

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


def _from_table(listed: Lists, inventory: Inventory) -> tuple[Pairing, list[str | None]]:
    """Return the pairs of a table as cases, and their groups; an image may be in several rows."""
    items = {item.path: item for item in inventory.items}
    rows: dict[PurePosixPath, list[ListedPair]] = {}
    for pair in dict.fromkeys(listed.pairs):
        rows.setdefault(pair.image, []).append(pair)

    def named(path: PurePosixPath) -> Named:
        return Named(items[path], path_tokens(path, items[path].stem))

    cases = []
    for (image, pairs), extras in zip(rows.items(), _table_series(rows), strict=True):
        case = Joined(pairs[0].part, (items[image].stem,))
        case.images[()].append(named(image))
        for pair, extra in zip(pairs, extras, strict=True):
            case.labels[extra].append(named(pair.label))
        cases.append(case)
    used = {path for pair in listed.pairs for path in (pair.image, pair.label)}
    others = tuple(item for item in inventory.items if item.path not in used)
    groups = [pairs[0].group for pairs in rows.values()]
    return Pairing(tuple(cases), (), (), others), groups


def _table_series(rows: Mapping[PurePosixPath, Sequence[ListedPair]]) -> list[list[Key]]:
    """Return the tokens that tell apart the label files of each image, or their numbers."""
    if all(len(pairs) == 1 for pairs in rows.values()):
        return [[()] for _ in rows]
    labels = [pair.label for pairs in rows.values() for pair in pairs]
    keys = varying([path_tokens(path, stem_of(Path(path))).key for path in labels])
    own = dict(zip(labels, keys, strict=True))
    found: list[list[Key]] = []
    for image, pairs in rows.items():
        known = path_tokens(image, stem_of(Path(image))).key
        found.append([tuple(t for t in own[pair.label] if t not in known) for pair in pairs])
    if any(len(set(extras)) < len(extras) for extras in found):
        return [[(str(number),) for number, _ in enumerate(extras, 1)] for extras in found]
    return found


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


def _case_names(cases: Sequence[Joined], channels: Sequence[Key], root: Path) -> list[str]:
    """Name the cases after their images, or after the folders that tell them apart.

    Raises:
        DatasetError: If no names tell the cases apart.
    """
    images = [_first_image(case) for case in cases]
    choices = [
        [image.item.stem for image in images] if len(channels) == 1 else [],
        [_folder_name(image, case) for image, case in zip(images, cases, strict=True)],
        ["_".join(case.key) for case in cases],
        [f"{_folder_name(i, case)}_{i.item.stem}" for i, case in zip(images, cases, strict=True)],
        ["_".join((case.part.value if case.part else "", *case.key)) for case in cases],
    ]
    for names in choices:
        if len(set(names)) == len(cases) and all(map(is_valid_folder_name, names)):
            return names
    ((repeated, _),) = Counter(choices[-1]).most_common(1)
    paths = [image.item.path for image, name in zip(images, names, strict=True) if name == repeated]
    raise DatasetError(
        f"{root}: no valid names tell the cases apart, for example of "
        f"{format_names([path.as_posix() for path in paths], 2)}. Give the images different names."
    )


def _first_image(case: Joined) -> Named:
    return next(iter(case.images.values()))[0]


def _folder_name(image: Named, case: Joined) -> str:
    """Return the name of the deepest folder that has an id of the case."""
    for name in reversed(image.item.path.parts[:-1]):
        if any(is_id(token) for token in set(tokens(name)) & set(case.key)):
            return name
    return ""


def _groups(cases: Sequence[Joined]) -> list[str | None]:
    """Group cases by `{group}` in a pattern, or by the outermost folder of several cases.

    The name of the folder has an id of the case, or a word that varies next to one that does not
    (`video_a`).
    """
    images = [_first_image(case) for case in cases]
    if any("group" in image.fields for image in images):
        return [image.fields.get("group") for image in images]
    own = [set(as_numbers(case.key)) for case in cases]
    folders = [
        [[word for word, kind in name if not kind] for name in image.words.names[:-1]]
        for image in images
    ]
    for depth in range(min(map(len, folders), default=0)):
        keys = []
        for names, known in zip(folders, own, strict=True):
            inner = [[t for t in name if as_numbers((t,))[0] in known] for name in names]
            is_own = bool(inner[depth]) and (
                any(map(is_id, inner[depth])) or len(inner[depth]) < len(names[depth])
            )
            keys.append(tuple(t for name in inner[: depth + 1] for t in name) if is_own else ())
        if all(keys) and 1 < len(set(keys)) < len(keys):
            return ["_".join(key) for key in keys]
    return [None] * len(cases)


def _group_sentences(
    found: Mapping[Part, Sequence[CaseFiles]], lists: Lists, pairing: Pairing
) -> tuple[str, ...]:
    """Return a sentence on the groups and where they come from."""
    groups = [case.group for part in Part for case in found[part] if case.group is not None]
    if not groups:
        return ()
    images = [entry for case in pairing.cases for files in case.images.values() for entry in files]
    has_pattern = any("group" in entry.fields for entry in images)
    tables = format_names([path.as_posix() for path in lists.group_sources])
    source = tables or ("{group} of the patterns" if has_pattern else "folders")
    return (f"{format_count(len(set(groups)), 'group')}, such as {groups[0]}, from {source}",)


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
    )
    return tuple(
        f"{len(paths)} {kind} left out, for example {paths[0]}" for kind, paths in kinds if paths
    )
