"""Join the images and labels of a folder into cases, by the tokens of their paths."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from os.path import commonpath
from pathlib import PurePosixPath

from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.tokens import Part, PathTokens, is_id, path_tokens

Key = tuple[str, ...]

LEAST_PAIRED = 0.5
"""Least share of the label files that need an image for a way of joining to be taken."""


@dataclass(frozen=True)
class Named:
    """An item with the meaning of its path.

    Attributes:
        item: The item.
        words: Role, part and key.
        is_chosen: Whether the user has chosen the role.
    """

    item: Item
    words: PathTokens
    is_chosen: bool = False


@dataclass
class Joined:
    """Images and labels of one case.

    Attributes:
        part: The part of the dataset; None if no word says it.
        key: Tokens that images and labels share.
        images: Image files by their other tokens.
        labels: Label files by their other tokens.
    """

    part: Part | None
    key: Key
    images: dict[Key, list[Named]] = field(default_factory=lambda: defaultdict(list))
    labels: dict[Key, list[Named]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True)
class Pairing:
    """All cases of a folder.

    Attributes:
        cases: Cases with images and labels.
        unlabelled: Cases without labels.
        orphans: Labels without an image.
        others: Items that are neither.
    """

    cases: tuple[Joined, ...]
    unlabelled: tuple[Joined, ...]
    orphans: tuple[Joined, ...]
    others: tuple[Item, ...]


def pair_named(
    named: Sequence[Named], looks_like_labels: Callable[[Sequence[Item]], bool]
) -> Pairing:
    """Join images and labels whose paths have the same tokens.

    Args:
        named: All items of a folder.
        looks_like_labels: Decides from the contents of alike files whether they are labels, where
            no word says it.
    """
    named = assign_roles(named, looks_like_labels)
    images = [entry for entry in named if entry.words.role == "image"]
    labels = [entry for entry in named if entry.words.role == "label"]
    others = tuple(entry.item for entry in named if entry.words.role not in ("image", "label"))
    joins = (_join(images, labels, form) for form in (_as_is, _as_numbers, _last_number))
    found = next((cases for cases in joins if _is_sound(cases, labels)), [])
    return Pairing(
        cases=tuple(case for case in found if case.images and case.labels),
        unlabelled=tuple(case for case in found if not case.labels),
        orphans=tuple(case for case in found if not case.images),
        others=others,
    )


def name_items(items: Sequence[Item]) -> list[Named]:
    """Interpret the paths of items; components that all of them share say nothing."""
    folders = {item.path.parent.as_posix() for item in items}
    shared = PurePosixPath(commonpath(folders)) if folders != {"."} and folders else None
    named = []
    for item in items:
        inner = item.path.relative_to(shared) if shared else item.path
        named.append(Named(item, path_tokens(inner, item.stem)))
    return named


def assign_roles(
    named: Sequence[Named], looks_like_labels: Callable[[Sequence[Item]], bool]
) -> list[Named]:
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
        decided |= {entry.item: "label" if are_labels else "image" for entry in group}
    if roles["image"] and roles["label"]:
        decided = {item: role for item, role in decided.items() if role == "label"}
    return [_with_role(entry, decided.get(entry.item, entry.words.role)) for entry in named]


def _without_wrong_labels(
    named: Sequence[Named], looks_like_labels: Callable[[Sequence[Item]], bool]
) -> list[Named]:
    """Take the role away from files that are named as labels but hold intensities."""
    wrong: set[Item] = set()
    for group in _alike(entry for entry in named if entry.words.role == "label").values():
        items = [entry.item for entry in group]
        wrong |= set() if looks_like_labels(items) else set(items)
    return [_with_role(entry, None) if entry.item in wrong else entry for entry in named]


def _without_wrong_images(
    named: Sequence[Named], looks_like_labels: Callable[[Sequence[Item]], bool]
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
    groups: dict[tuple[object, ...], list[Named]] = defaultdict(list)
    for entry in named:
        words = tuple(
            token
            for token in entry.words.key
            if not is_id(token) and counts[token] > max(2, len(named) // 10)
        )
        groups[entry.item.ending, words].append(entry)
    return groups


def _join(images: list[Named], labels: list[Named], form: Callable[[Key], Key]) -> list[Joined]:
    """Join by the tokens that occur both in paths of images and in paths of labels."""
    image_keys = _varying([form(entry.words.key) for entry in images])
    label_keys = _varying([form(entry.words.key) for entry in labels])
    shared = {token for key in image_keys for token in key}
    shared &= {token for key in label_keys for token in key}
    if not shared and len(images) > 1:
        return []
    have_parts = all(any(entry.words.part for entry in group) for group in (images, labels))
    cases: dict[tuple[Part | None, Key], Joined] = {}
    for role, entries, keys in (("images", images, image_keys), ("labels", labels, label_keys)):
        parts = [entry.words.part if have_parts else None for entry in entries]
        cores = _cores(list(zip(parts, keys, strict=True)), shared, are_images=role == "images")
        for entry, key, part, core in zip(entries, keys, parts, cores, strict=True):
            extra = tuple(token for token in key if token not in core)
            case = cases.setdefault((part, core), Joined(part, core))
            getattr(case, role)[extra].append(entry)
    return [cases[place] for place in sorted(cases, key=lambda place: place[1])]


def _cores(keys: list[tuple[Part | None, Key]], shared: set[str], *, are_images: bool) -> list[Key]:
    """Return the tokens of each key that name its case.

    They are the tokens that images and labels share. A token of a single case that the other side
    lacks is the id of a case without a partner, so that the key as a whole names the case; unless
    it is an id of its own that every image has, or the labels of a case have one each.
    """
    cores = [tuple(token for token in key if token in shared) for _, key in keys]
    occurs: dict[str, set[tuple[Part | None, Key]]] = defaultdict(set)
    for (part, key), core in zip(keys, cores, strict=True):
        for token in key:
            occurs[token].add((part, core))
    is_single = len(set(cores)) == 1
    has_own = [
        any(token not in shared and len(occurs[token]) < 2 for token in key) for _, key in keys
    ]
    counts = Counter((part, core) for (part, _), core in zip(keys, cores, strict=True))
    most_have_own = sum(has_own) > 0.5 * len(keys)
    found = []
    for (part, key), core, own in zip(keys, cores, has_own, strict=True):
        is_alone = most_have_own and counts[part, core] == 1 if are_images else True
        keeps = is_single or (bool(core) and (not own or is_alone))
        found.append(core if keeps else key)
    return found


def _varying(keys: list[Key]) -> list[Key]:
    """Remove the tokens that all keys share, as often as all of them have them."""
    if len(set(keys)) < 2:
        return keys
    constant = Counter(keys[0])
    for key in keys[1:]:
        constant &= Counter(key)
    return [_without(key, constant) for key in keys]


def _without(key: Key, removed: Counter[str]) -> Key:
    """Remove tokens from the end."""
    left = removed.copy()
    kept = []
    for token in reversed(key):
        if left[token]:
            left[token] -= 1
        else:
            kept.append(token)
    return tuple(reversed(kept))


def _as_is(key: Key) -> Key:
    return key


def _as_numbers(key: Key) -> Key:
    """Remove leading zeros, so that `007` equals `7`."""
    return tuple(str(int(token)) if token.isdecimal() else token for token in key)


def _last_number(key: Key) -> Key:
    """Keep the last number."""
    numbers = [token for token in _as_numbers(key) if token.isdecimal()]
    return tuple(numbers[-1:])


def _is_sound(cases: Sequence[Joined], labels: Sequence[Named]) -> bool:
    """Return True if most labels have an image, and no two files have the same tokens."""
    paired = sum(len(files) for case in cases if case.images for files in case.labels.values())
    groups = [*(case.images for case in cases), *(case.labels for case in cases if case.images)]
    are_unique = all(len(files) == 1 for group in groups for files in group.values())
    return bool(labels) and paired >= LEAST_PAIRED * len(labels) and are_unique
