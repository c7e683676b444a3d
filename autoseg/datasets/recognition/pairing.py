"""Join the images and labels of a folder into cases, by the tokens of their paths."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from autoseg.datasets.recognition.inventory import Item
from autoseg.datasets.recognition.keys import (
    Key,
    Place,
    as_numbers,
    case_tokens,
    ordered_as,
    shared_columns,
    varying,
    without_common_words,
    without_entities,
)
from autoseg.datasets.recognition.tokens import Part, PathTokens, is_id, tokens

LEAST_PAIRED = 0.5
"""Least share of the label files that need an image for a way of joining to be taken."""


@dataclass(frozen=True)
class Named:
    """An item with the meaning of its path.

    Attributes:
        item: The item.
        words: Role, part and key.
        is_chosen: Whether the user has chosen the role.
        fields: Texts of the fields of the user's pattern.
    """

    item: Item
    words: PathTokens
    is_chosen: bool = False
    fields: dict[str, str] = field(default_factory=dict, compare=False)


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
        reason: Why nothing was joined.
    """

    cases: tuple[Joined, ...]
    unlabelled: tuple[Joined, ...] = ()
    orphans: tuple[Joined, ...] = ()
    others: tuple[Item, ...] = ()
    reason: str = ""


Sides = tuple[list[Named], list[Named]]
"""Images and labels."""


@dataclass(frozen=True)
class _Keys:
    """Keys of the images and of the labels, without the tokens that say nothing."""

    images: list[Key]
    labels: list[Key]


def pair_named(named: Sequence[Named]) -> Pairing:
    """Join images and labels whose paths have the same tokens.

    Args:
        named: All items of a folder, with their roles.
    """
    others = tuple(entry.item for entry in named if entry.words.role not in ("image", "label"))
    sides = _with_words_of_both(
        [entry for entry in named if entry.words.role == "image"],
        [entry for entry in named if entry.words.role == "label"],
    )
    found, reason = _best_join(sides)
    if not found and _repeat_words(sides[1]):
        found, reason = _best_join((sides[0], _with_own_roles(sides[1])))
    _simplify_images([case for case in found if case.labels])
    return Pairing(
        cases=tuple(case for case in found if case.images and case.labels),
        unlabelled=tuple(case for case in found if not case.labels),
        orphans=tuple(case for case in found if not case.images),
        others=others,
        reason=reason,
    )


def _simplify_images(cases: Sequence[Joined]) -> None:
    """Leave ids that only one image has out of account, as long as they tell no images apart."""
    counts = Counter(t for case in cases for key in case.images for t in set(key) if is_id(t))

    def simple(key: Key) -> Key:
        return tuple(token for token in key if counts[token] != 1)

    if len(cases) > 1 and all(len(set(map(simple, c.images))) == len(c.images) for c in cases):
        for case in cases:
            case.images = {simple(key): files for key, files in case.images.items()}


def _with_own_roles(labels: list[Named]) -> list[Named]:
    """Keep the words of roles that tell labels apart, such as `instances` and `labels`."""
    counts = Counter(word for entry in labels for word in entry.words.role_words)
    kept = frozenset(word for word, count in counts.items() if count < len(labels))
    return [
        entry if "case" in entry.fields else replace(entry, words=entry.words.with_words(kept))
        for entry in labels
    ]


def _repeat_words(labels: Sequence[Named]) -> bool:
    """Return True if only words of roles tell some labels apart."""
    seen: dict[object, set[frozenset[str]]] = defaultdict(set)
    for entry in labels:
        seen[entry.words.part, entry.words.key].add(entry.words.role_words)
    return any(len(words) > 1 for words in seen.values())


def _with_words_of_both(images: list[Named], labels: list[Named]) -> Sides:
    """Keep words of roles in the keys if they tell apart images as well as labels.

    In `images/mask_1.jpg`, `images/bare_1.jpg` and `labels/mask_1.png`, `labels/bare_1.png`, the
    word `mask` belongs to the name of a case.
    """

    def varying_words(entries: list[Named]) -> set[str]:
        counts = Counter(word for entry in entries for word in entry.words.role_words)
        return {word for word, count in counts.items() if count < len(entries)}

    kept = frozenset(varying_words(images) & varying_words(labels))
    if not kept:
        return images, labels

    def with_words(entry: Named) -> Named:
        is_given = "case" in entry.fields
        return entry if is_given else replace(entry, words=entry.words.with_words(kept))

    return list(map(with_words, images)), list(map(with_words, labels))


def _best_join(sides: Sides) -> tuple[list[Joined], str]:
    """Return the cases by the way of joining that pairs most labels, or the reason for none."""
    images, labels = sides
    if not (images and labels):
        return [], ""
    are_given = all("case" in entry.fields for entry in (*images, *labels))
    join = _join_fields if are_given else _join
    found: list[list[Joined]] = []
    reason = ""
    for form in (_as_is, without_entities):
        try:
            found.append(join(sides, form))
        except _AmbiguousError as error:
            reason = reason or str(error)
        if reason or _num_paired(found[-1]) == len(labels):
            break
    valid = [cases for cases in found if _is_valid(cases, labels)]
    if not (valid or are_given):
        ways = (_join_folders,) if reason else (_join_folders, _join_last_numbers)
        more = (way(images, labels) for way in ways)
        valid = [joined for joined in more if _is_valid(joined, labels)][:1]
    if valid:
        return max(valid, key=_num_paired), ""
    return [], reason or _why_invalid(found, labels)


class _AmbiguousError(Exception):
    """There are several ways to join."""


def _join_fields(sides: Sides, form: Callable[[Key], Key]) -> list[Joined]:
    """Join by the text of `{case}` in the patterns of the user."""
    images, labels = sides
    have_parts = _have_parts(images, labels)
    found = _Cases()
    for role, entries in (("images", images), ("labels", labels)):
        for entry in entries:
            part = entry.words.part if have_parts else None
            words = tokens(entry.fields["case"])
            extra = entry.words.key[len(words) :]
            found.add(role, entry, (part, form((entry.fields["case"],))), extra, words)
    return found.finished()


class _Cases:
    """Cases in the making, by part and key."""

    def __init__(self) -> None:
        self._cases: dict[Place, Joined] = {}

    def add(
        self, role: str, entry: Named, place: Place, extra: Key, key: Key | None = None
    ) -> None:
        """Add a file to its case."""
        case = self._cases.setdefault(place, Joined(place[0], place[1] if key is None else key))
        getattr(case, role)[extra].append(entry)

    def finished(self) -> list[Joined]:
        """Return the cases in order; a part that only one side has is the part of the case."""
        for case in self._cases.values():
            parts = _parts(case)
            case.part = next(iter(parts)) if len(parts) == 1 else case.part
        return [self._cases[place] for place in sorted(self._cases, key=lambda place: place[1])]


def _parts(case: Joined) -> set[Part]:
    files = [*case.images.values(), *case.labels.values()]
    return {entry.words.part for entries in files for entry in entries if entry.words.part}


def _have_parts(images: Sequence[Named], labels: Sequence[Named]) -> bool:
    return all(any(entry.words.part for entry in entries) for entries in (images, labels))


def _aligned(sides: Sides) -> Sides:
    """Order numbered words alike, if both sides have them in another order.

    The key of `day2_patient1` becomes that of `patient1_day2`.
    """
    images, labels = sides
    keys = ordered_as([entry.words.key for entry in images], [entry.words.key for entry in labels])
    return images, [
        replace(entry, words=replace(entry.words, key=key))
        for entry, key in zip(labels, keys, strict=True)
    ]


def _join(sides: Sides, form: Callable[[Key], Key]) -> list[Joined]:
    """Join by the tokens that occur both in paths of images and in paths of labels.

    Raises:
        _AmbiguousError: If several joins are as good.
    """
    images, labels = _aligned(sides)
    image_keys, plain = without_common_words(
        [form(entry.words.key) for entry in images], [form(entry.words.key) for entry in labels]
    )
    image_keys = varying(image_keys)
    kept = {token for key in image_keys for token in key} if len(images) > 1 else set()
    found: list[Joined] = []
    for label_keys in (varying(plain, kept), varying(plain)):
        keys = _Keys(image_keys, label_keys)
        for way in (_join_columns, _join_tokens):
            found = way(images, labels, keys) or found
            if _is_valid(found, labels):
                return found
    return found


def _join_columns(images: list[Named], labels: list[Named], keys: _Keys) -> list[Joined]:
    """Join by the places of the keys that images and labels share, if all keys are as long.

    Raises:
        _AmbiguousError: If several places fit as well.
    """
    have_parts = _have_parts(images, labels)
    parts = [
        [entry.words.part if have_parts else None for entry in entries]
        for entries in (images, labels)
    ]
    ways = shared_columns(
        list(zip(parts[0], keys.images, strict=True)),
        list(zip(parts[1], keys.labels, strict=True)),
        ceil(LEAST_PAIRED * len(labels)),
    )
    if len(ways) > 1:
        raise _AmbiguousError(
            f"several tokens of {images[0].item.path} and {labels[0].item.path} may name the case"
        )
    found = _Cases()
    for way in ways:
        for entry, place, extra in zip(images, way.image_places, way.image_extras, strict=True):
            found.add("images", entry, place, extra)
        for entry, place, extra in zip(labels, way.label_places, way.label_extras, strict=True):
            found.add("labels", entry, place, extra)
    return found.finished()


def _join_tokens(
    images: list[Named], labels: list[Named], keys: _Keys, chosen: Collection[str] | None = None
) -> list[Joined]:
    """Join by the tokens that occur both in keys of images and in keys of labels.

    Args:
        images: The images.
        labels: The labels.
        keys: Their keys.
        chosen: Tokens to join by; others are left out. All, if None.
    """
    shared = {token for key in keys.images for token in key if chosen is None or token in chosen}
    shared &= {token for key in keys.labels for token in key}
    if not shared and not _is_one_case(images, keys):
        return []
    have_parts = _have_parts(images, labels)
    found = _Cases()
    for role, entries, own in (("images", images, keys.images), ("labels", labels, keys.labels)):
        parts = [entry.words.part if have_parts else None for entry in entries]
        cores = case_tokens(list(zip(parts, own, strict=True)), shared, are_images=role == "images")
        for entry, key, part, core in zip(entries, own, parts, cores, strict=True):
            extra = tuple(token for token in key if token not in core)
            found.add(role, entry, (part, core), extra)
    return found.finished()


def _is_one_case(images: Sequence[Named], keys: _Keys) -> bool:
    """Return True for one image, or for images such as `t1`, `t2` with labels such as `seg`."""
    are_numbers = any(token.isdecimal() for key in keys.images for token in key)
    return len(images) == 1 or (keys.labels == [()] and not are_numbers)


def _as_is(key: Key) -> Key:
    return key


def _join_folders(images: list[Named], labels: list[Named]) -> list[Joined]:
    """Join by the tokens of the folders alone."""
    shared = {token for entry in images for token in entry.words.folder_key}
    shared &= {token for entry in labels for token in entry.words.folder_key}
    image_keys, label_keys = (
        varying([entry.words.key for entry in entries]) for entries in (images, labels)
    )
    return _join_tokens(images, labels, _Keys(image_keys, label_keys), shared)


def _join_last_numbers(images: list[Named], labels: list[Named]) -> list[Joined]:
    """Join by the last number, if the images or the labels have no other."""
    numbers = [
        [tuple(token for token in key if token.isdecimal()) for key in keys]
        for keys in (
            varying([as_numbers(entry.words.key) for entry in entries])
            for entries in (images, labels)
        )
    ]
    if not any(all(len(key) <= 1 for key in keys) for keys in numbers):
        return []
    last = [[key[-1:] for key in keys] for keys in numbers]
    return _join_tokens(images, labels, _Keys(last[0], last[1]))


def _num_paired(cases: Iterable[Joined]) -> int:
    return sum(len(files) for case in cases if case.images for files in case.labels.values())


def _repeated(cases: Iterable[Joined]) -> list[Named]:
    """Return files of the same tokens, if there are any."""
    cases = list(cases)
    groups = [*(case.images for case in cases), *(case.labels for case in cases if case.images)]
    return next((files for group in groups for files in group.values() if len(files) > 1), [])


def _is_valid(cases: Sequence[Joined], labels: Sequence[Named]) -> bool:
    """Return True if most labels have an image, no two files of a case have the same tokens."""
    are_mixed = any(len(_parts(case)) > 1 for case in cases if case.labels)
    is_paired = _num_paired(cases) >= LEAST_PAIRED * len(labels)
    return is_paired and not are_mixed and not _repeated(cases)


def _why_invalid(joins: Sequence[Sequence[Joined]], labels: Sequence[Named]) -> str:
    """Return the reason why images and labels were not joined."""
    repeated = next(filter(None, map(_repeated, joins)), [])
    if repeated:
        return f"{repeated[0].item.path} and {repeated[1].item.path} belong to the same case"
    mixed = next((case for cases in joins for case in cases if len(_parts(case)) > 1), None)
    if mixed is not None:
        example = next(iter((mixed.images or mixed.labels).values()))[0].item.path
        return f"files of the case of {example} are in different parts of the dataset"
    paired = max(map(_num_paired, joins), default=0)
    return f"only {paired} of {len(labels)} label files share a name with an image"
