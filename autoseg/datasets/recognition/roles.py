"""Decide which files of a folder are images and which are labels."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from os.path import commonpath
from pathlib import PurePosixPath

from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.pairing import Named
from autoseg.datasets.recognition.tokens import find_part_names, is_id, path_tokens

LooksLikeLabels = Callable[[Sequence[Item]], bool | None]
"""Decides from the contents of alike files whether they are labels; None if the words decide."""


def name_items(items: Sequence[Item]) -> list[Named]:
    """Interpret the paths of items; components that all of them share say nothing."""
    words = [item.words for item in items]
    folders = {path.parent.as_posix() for path in words}
    shared = PurePosixPath(commonpath(folders)) if folders != {"."} and folders else None
    inner = [path.relative_to(shared) if shared else path for path in words]
    part_names = find_part_names((path, path.name) for path in inner)
    return [
        Named(item, path_tokens(path, path.name, part_names))
        for item, path in zip(items, inner, strict=True)
    ]


DERIVED = "derivatives"
"""Folder of files that are computed from images, as in BIDS."""


def assign_roles(named: Sequence[Named], looks_like_labels: LooksLikeLabels) -> list[Named]:
    """Decide the roles that no word says; images in a folder of derivatives are not used.

    They are used if there are no others.
    """
    decided = _with_all_roles(named, looks_like_labels)
    images = [entry for entry in decided if entry.words.role == "image"]
    derived = {entry.item for entry in images if DERIVED in entry.item.path.parts}
    if len(derived) == len(images):
        return decided
    return [_with_role(entry, "unused") if entry.item in derived else entry for entry in decided]


def _with_all_roles(named: Sequence[Named], looks_like_labels: LooksLikeLabels) -> list[Named]:
    """Decide the roles that no word says.

    If there are labels but no images, files without a role are images. Otherwise files that are
    alike have the role that their contents show.
    """
    named = _without_wrong_labels(named, looks_like_labels)
    named = _without_wrong_images(named, looks_like_labels)
    roles = Counter(entry.words.role for entry in named)
    if roles["label"] and not roles["image"] and roles[None]:
        images = [_with_role(entry, entry.words.role or "image") for entry in named]
        return _without_wrong_images(images, looks_like_labels)
    undecided = [
        entry
        for entry in named
        if entry.words.role is None or not (roles["label"] and roles["image"])
    ]
    decided: dict[Item, str] = {}
    for group in _alike(undecided).values():
        are_labels = looks_like_labels([entry.item for entry in group])
        unsure = (group[0].words.role if are_labels is None else None) or "image"
        decided |= {entry.item: "label" if are_labels else unsure for entry in group}
    if roles["image"] and roles["label"]:
        decided = {item: role for item, role in decided.items() if role == "label"}
    return [_with_role(entry, decided.get(entry.item, entry.words.role)) for entry in named]


def _without_wrong_labels(
    named: Sequence[Named], looks_like_labels: LooksLikeLabels
) -> list[Named]:
    """Correct the role of files that are named as labels but hold intensities.

    In `images/mask_1.jpg`, the role of the folder applies.
    """
    wrong: set[Item] = set()
    for group in _alike(entry for entry in named if entry.words.role == "label").values():
        items = [entry.item for entry in group]
        wrong |= set(items) if looks_like_labels(items) is False else set()
    return [
        _with_role(entry, _of_folder(entry)) if entry.item in wrong else entry for entry in named
    ]


def _of_folder(entry: Named) -> str | None:
    return "image" if entry.words.folder_role == "image" else None


def _without_wrong_images(
    named: Sequence[Named], looks_like_labels: LooksLikeLabels
) -> list[Named]:
    """Take the role away from files named as images that hold labels, unless all of them do."""
    groups = _alike(entry for entry in named if entry.words.role == "image").values()
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


def _alike(named: Iterable[Named]) -> dict[tuple[object, ...], list[Named]]:
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
