"""Compare keys of images and of labels: the tokens of their paths in order."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from autoseg.datasets.recognition.tokens import Part, is_id

Key = tuple[str, ...]
"""Tokens of a path in order."""

Place = tuple[Part | None, Key]
"""Part of the dataset, and key."""

MAX_COLUMNS = 6
"""Longest keys that are compared place by place."""


@dataclass(frozen=True)
class Way:
    """A choice of the places that name the case.

    Attributes:
        image_places: Part and case of each image.
        image_extras: Other tokens of each image.
        label_places: Part and case of each label.
        label_extras: Other tokens of each label.
    """

    image_places: list[Place]
    image_extras: list[Key]
    label_places: list[Place]
    label_extras: list[Key]

    def rank(self) -> tuple[int, int]:
        """Return the number of labels with an image, and less the more files a case has."""
        images, labels = Counter(self.image_places), Counter(self.label_places)
        cases = images.keys() & labels.keys()
        paired = sum(labels[place] for place in cases)
        return paired, 2 * len(cases) - paired - sum(images[place] for place in cases)

    def partners(self) -> list[frozenset[int]]:
        """Return the images of each label."""
        images: dict[Place, set[int]] = {}
        for number, place in enumerate(self.image_places):
            images.setdefault(place, set()).add(number)
        return [frozenset(images.get(place, ())) for place in self.label_places]


def shared_columns(images: Sequence[Place], labels: Sequence[Place], least: int) -> list[Way]:
    """Return the best choice of the places that name the case.

    As many places as possible are compared, so that cases differ by everything that images and
    labels have in common; of several choices, the one that gives most labels an image, and the
    fewest files to a case.

    Args:
        images: Part and key of each image.
        labels: Part and key of each label.
        least: Least number of labels that need an image.

    Returns:
        The choice; several, if they are as good but differ; none, if the keys are not equally long
        or share nothing.
    """
    widths = [{len(key) for _, key in places} for places in (images, labels)]
    if any(len(found) != 1 or not 0 < max(found) <= MAX_COLUMNS for found in widths):
        return []
    width, label_width = widths[0].pop(), widths[1].pop()
    columns = [set(column) for column in zip(*(key for _, key in images), strict=True)]
    label_columns = [set(column) for column in zip(*(key for _, key in labels), strict=True)]
    for number in range(min(width, label_width), 0, -1):
        ways = [
            Way(*_split(images, chosen), *_split(labels, label_chosen))
            for chosen, label_chosen in product(
                combinations(range(width), number), combinations(range(label_width), number)
            )
            if all(columns[a] & label_columns[b] for a, b in zip(chosen, label_chosen, strict=True))
        ]
        best = max((way.rank() for way in ways), default=(0, 0))
        if best[0] >= max(1, least):
            equal = [way for way in ways if way.rank() == best]
            partners = {tuple(way.partners()): way for way in reversed(equal)}
            return list(partners.values())
    return []


def _split(places: Sequence[Place], chosen: Sequence[int]) -> tuple[list[Place], list[Key]]:
    """Return the tokens that name the case, and the others that do not merely repeat them."""
    columns = list(zip(*(key for _, key in places), strict=True))
    others = [
        column
        for place, column in enumerate(columns)
        if place not in chosen and all(column != columns[one] for one in chosen)
    ]
    cases = [(part, tuple(key[place] for place in chosen)) for part, key in places]
    extras: list[Key] = list(zip(*others, strict=True)) if others else [()] * len(places)
    return cases, extras


def ordered_as(keys: Sequence[Key], others: Sequence[Key]) -> list[Key]:
    """Return the second keys with numbered words in the order of the first.

    Args:
        keys: Keys such as patient, 1, day, 2.
        others: Keys such as day, 2, patient, 1; they stay if the words are not in all keys.
    """
    orders = [_common_fields(side) for side in (keys, others)]
    order = [word for word in orders[0] if word in orders[1]]
    if len(order) < 2 or order == [word for word in orders[1] if word in order]:
        return list(others)
    return [_reordered(key, order) for key in others]


def _fields(key: Key) -> list[tuple[str, Key]]:
    """Return words with the id after them or in them (`p1`), and the tokens of both."""
    found: list[tuple[str, Key]] = []
    for place, token in enumerate(key):
        before = key[place - 1] if place else ""
        letters = re.match(r"[^\W\d_]*", token)
        if is_id(token) and letters and letters[0]:
            found.append((letters[0], (token,)))
        elif is_id(token) and before and not is_id(before):
            found.append((before, (before, token)))
    return found


def _common_fields(keys: Sequence[Key]) -> list[str]:
    """Return the words of the fields that all keys have once, in the order of the first key."""
    names = [[word for word, _ in _fields(key)] for key in keys]
    return [word for word in names[0] if all(each.count(word) == 1 for each in names)]


def _reordered(key: Key, order: Sequence[str]) -> Key:
    found = dict(_fields(key))
    moved = [token for word in order for token in found[word]]
    return (*moved, *_without(key, Counter(moved)))


def varying(keys: list[Key], kept: Collection[str] = ()) -> list[Key]:
    """Remove the tokens that all keys share, at the same place or as often as all have them.

    Args:
        keys: The keys.
        kept: Tokens that are not removed.
    """
    if len(set(keys)) < 2:
        return keys
    if len(set(map(len, keys))) == 1:
        columns = [
            column
            for column in zip(*keys, strict=True)
            if len(set(column)) > 1 or column[0] in kept
        ]
        return list(zip(*columns, strict=True))
    constant = Counter(keys[0])
    for key in keys[1:]:
        constant &= Counter(key)
    for token in kept:
        del constant[token]
    return [_without(key, constant) for key in keys]


def without_common_words(images: list[Key], labels: list[Key]) -> tuple[list[Key], list[Key]]:
    """Remove words that all images and labels have, and some have once more.

    In `PET-CT/PET.nii`, `PET-CT/CT.nii` and `PET-CT/seg.nii`, only the name of the file counts.
    """
    counts = [Counter(key) for key in (*images, *labels)]
    constant = Counter(token for token in images[0] if not is_id(token))
    for count in counts:
        constant &= count
    repeated = {token for token in constant if any(c[token] > constant[token] for c in counts)}
    constant = Counter({token: constant[token] for token in repeated})
    return [_without(k, constant) for k in images], [_without(k, constant) for k in labels]


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


def without_entities(key: Key) -> Key:
    """Split entities, so that `sub-07` equals `07`, and remove leading zeros."""
    return as_numbers(tuple(part for token in key for part in token.split("-")))


def as_numbers(key: Key) -> Key:
    """Remove leading zeros, so that `007` equals `7`, and `p07` equals `p7`."""
    return tuple(re.sub(r"\d+", lambda digits: str(int(digits[0])), token) for token in key)


def case_tokens(keys: list[Place], shared: set[str], *, are_images: bool) -> list[Key]:
    """Return the tokens of each key that name its case.

    They are the tokens that images and labels share. A token of a single case that the other side
    lacks is the id of a case without a partner, so that the key as a whole names the case; unless
    it is an id of its own that every image has, or the labels of a case have one each.

    Args:
        keys: Part and key of each file.
        shared: Tokens that images and labels share.
        are_images: Whether the files are images.
    """
    cores = [tuple(token for token in key if token in shared) for _, key in keys]
    occurs: dict[str, set[Place]] = defaultdict(set)
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
