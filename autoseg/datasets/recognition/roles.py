"""Decide which files of a folder are images and which are labels."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from os.path import commonpath
from pathlib import PurePosixPath

from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.keys import Key
from autoseg.datasets.recognition.pairing import Named
from autoseg.datasets.recognition.patterns import choose_by_patterns
from autoseg.datasets.recognition.tokens import (
    LABEL_WORDS,
    find_part_names,
    is_id,
    path_tokens,
    tokens,
    word_set,
)

LooksLikeLabels = Callable[[Sequence[Item]], bool | None]
"""Decides from the contents of alike files whether they are labels; None if the words decide."""

LISTED_FOLDER = re.compile(r"(\d{1,2})[ _.-]+([^\W\d_].*)")
"""Name of a folder that begins with the number of a list, such as `2_Labels`."""

MASK_WORDS = word_set("mask masks msk msks roi rois")
"""Words that name labels as well as regions such as the brain or the field of view, lower case."""


def name_items(items: Sequence[Item]) -> list[Named]:
    """Interpret the paths of items; components that all of them share say nothing."""
    words = [item.words for item in items]
    folders = {path.parent.as_posix() for path in words}
    shared = PurePosixPath(commonpath(folders)) if folders != {"."} and folders else None
    inner = _without_list_numbers([path.relative_to(shared) if shared else path for path in words])
    part_names = find_part_names((path, path.name) for path in inner)
    return _with_own_words(
        [
            Named(item, path_tokens(path, path.name, part_names))
            for item, path in zip(items, inner, strict=True)
        ]
    )


def _without_list_numbers(paths: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Remove the numbers of folders that are a list of kinds, such as `1_images`, `2_labels`.

    All folders in one place have different numbers and words then, and one has a word for labels.
    """
    inner: dict[PurePosixPath, set[str]] = defaultdict(set)
    for parent in {path.parent for path in paths}:
        for folder in (parent, *parent.parents)[:-1]:
            inner[folder.parent].add(folder.name)
    listed: dict[PurePosixPath, str] = {}
    for parent, names in inner.items():
        found = [LISTED_FOLDER.fullmatch(name) for name in names]
        numbers = {match[1] for match in found if match}
        words = {match[2] for match in found if match}
        is_list = 1 < len(names) == len(numbers) == len(words)
        if is_list and any(LABEL_WORDS.intersection(tokens(word)) for word in words):
            listed |= {parent / match[0]: match[2] for match in found if match}
    if not listed:
        return list(paths)
    changed = []
    for path in paths:
        own = [listed.get(folder, folder.name) for folder in reversed(path.parents[:-1])]
        changed.append(PurePosixPath(*own, path.name))
    return changed


def _with_own_words(named: Sequence[Named]) -> list[Named]:
    """Keep the words of a folder in the keys of files that nothing else tells apart.

    In `PET-CT/PET.nii`, `PET-CT/CT.nii`, the words `pet` and `ct` do not merely repeat the folder.
    """
    words: dict[object, set[Key]] = defaultdict(set)
    for entry in named:
        words[_place(entry)].add(entry.words.own_words)
    kept = {own for together in words.values() if len(together) > 1 for own in together}
    return [
        replace(entry, words=entry.words.with_own_words())
        if entry.words.own_words in kept
        else entry
        for entry in named
    ]


def _place(entry: Named) -> object:
    """Return the folder, role, part and key, which files of one name share."""
    return entry.item.path.parent, entry.words.role, entry.words.part, entry.words.key


DERIVED = "derivatives"
"""Folder of files that are computed from images, as in BIDS."""


def assign_roles(
    named: Sequence[Named],
    looks_like_labels: LooksLikeLabels,
    images: Sequence[str] = (),
    labels: Sequence[str] = (),
) -> list[Named]:
    """Decide the roles that no word says; images in a folder of derivatives are not used.

    They are used if there are no others.

    Args:
        named: All items of a folder.
        looks_like_labels: Decides from the contents of files.
        images: Patterns of image files that the user has chosen.
        labels: Patterns of label files that the user has chosen.
    """
    decided = _with_all_roles(named, looks_like_labels, images, labels)
    found = [entry for entry in decided if entry.words.role == "image"]
    derived = {entry.item for entry in found if DERIVED in entry.item.path.parts}
    if len(derived) == len(found):
        return decided
    return [_with_role(entry, "unused") if entry.item in derived else entry for entry in decided]


def _with_all_roles(
    named: Sequence[Named],
    looks_like_labels: LooksLikeLabels,
    images: Sequence[str],
    labels: Sequence[str],
) -> list[Named]:
    """Decide the roles that no word says.

    If there are labels but no images, files without a role are images, unless they hold labels:
    these are labels if the others are but named as masks, which may be of regions other than the
    classes. Otherwise files that are alike have the role that their contents show. Where the user
    has chosen files, no other file gets their role.

    Args:
        named: All items of a folder.
        looks_like_labels: Decides from the contents of alike files.
        images: Patterns of image files that the user has chosen.
        labels: Patterns of label files that the user has chosen.

    Raises:
        DatasetError: If no file fits a pattern.
    """
    wrong = _wrong_labels(named, looks_like_labels)
    named = [_with_role(e, _of_folder(e)) if e.item in wrong else e for e in named]
    named = choose_by_patterns(named, images, labels)
    named = _without_drawings(named, wrong, looks_like_labels)
    named = _without_wrong_images(named, looks_like_labels)
    roles = Counter(entry.words.role for entry in named)
    if roles["label"] and not roles["image"] and roles[None]:
        others = {entry.item for entry in named if entry.words.role is None}
        are_masks = all(e.words.role_words <= MASK_WORDS for e in named if e.words.role == "label")
        named = _without_wrong_images(with_other_images(named), looks_like_labels)
        more = {entry.item for entry in named if entry.words.role == "unused"} & others
        is_more = are_masks and not labels
        return [_with_role(e, "label") if is_more and e.item in more else e for e in named]
    undecided = [
        entry
        for entry in named
        if entry.words.role is None or not (roles["label"] and roles["image"])
    ]
    decided: dict[Item, str] = {}
    for group in alike(undecided).values():
        are_labels = looks_like_labels([entry.item for entry in group])
        unsure = (group[0].words.role if are_labels is None else None) or "image"
        decided |= {entry.item: "label" if are_labels else unsure for entry in group}
    given = {"image"} if images or (roles["image"] and roles["label"]) else set()
    given |= {"label"} if labels else set()
    decided = {item: role for item, role in decided.items() if role not in given}
    return [_with_role(entry, decided.get(entry.item, entry.words.role)) for entry in named]


def with_other_images(named: Sequence[Named]) -> list[Named]:
    """Make images of the files without a role."""
    return [_with_role(entry, entry.words.role or "image") for entry in named]


def _wrong_labels(named: Sequence[Named], looks_like_labels: LooksLikeLabels) -> set[Item]:
    """Return files that are named as labels but hold intensities.

    In `images/mask_1.jpg`, the role of the folder applies.
    """
    wrong: set[Item] = set()
    for group in alike(entry for entry in named if entry.words.role == "label").values():
        items = [entry.item for entry in group]
        wrong |= set(items) if looks_like_labels(items) is False else set()
    return wrong


def _without_drawings(
    named: Sequence[Named], wrong: Collection[Item], looks_like_labels: LooksLikeLabels
) -> list[Named]:
    """Leave out intensities that are named as labels if other files can be the images."""
    drawings = {entry.item for entry in named if entry.words.role is None and entry.item in wrong}
    others = [e for e in named if e.words.role is None and e.item not in drawings]
    has_images = any(entry.words.role == "image" for entry in named)
    if drawings and not has_images:
        groups = alike(others).values()
        has_images = any(not looks_like_labels([e.item for e in group]) for group in groups)
    return [_with_role(e, "unused") if has_images and e.item in drawings else e for e in named]


def _of_folder(entry: Named) -> str | None:
    return "image" if entry.words.folder_role == "image" else None


def _without_wrong_images(
    named: Sequence[Named], looks_like_labels: LooksLikeLabels
) -> list[Named]:
    """Take the role away from files named as images that hold labels, unless all of them do."""
    groups = alike(entry for entry in named if entry.words.role == "image").values()
    if len(groups) < 2:
        return list(named)
    wrong = [group for group in groups if looks_like_labels([entry.item for entry in group])]
    if len(wrong) == len(groups):
        return list(named)
    items = {entry.item for group in wrong for entry in group}
    has_labels = any(entry.words.role == "label" for entry in named)
    role = "unused" if has_labels else "label"
    return [_with_role(entry, role) if entry.item in items else entry for entry in named]


def _with_role(entry: Named, role: str | None) -> Named:
    return entry if entry.is_chosen else replace(entry, words=replace(entry.words, role=role))


def alike(named: Iterable[Named]) -> dict[tuple[object, ...], list[Named]]:
    """Group items by ending, and by the words that are neither ids nor names of single files."""
    named = list(named)
    counts = Counter(token for entry in named for token in entry.words.key)
    least = max(min(2, len(named) // 4), len(named) // 10)
    groups: dict[tuple[object, ...], list[Named]] = defaultdict(list)
    for entry in named:
        words = tuple(
            token for token in entry.words.key if not is_id(token) and counts[token] > least
        )
        groups[entry.item.ending, entry.words.role_words, words].append(entry)
    return groups
