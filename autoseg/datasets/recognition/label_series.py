"""Group the label files of all cases by the words that tell them apart."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from autoseg.core.arrays import MaskArray
from autoseg.datasets.recognition.contents import Content, content_of
from autoseg.datasets.recognition.keys import Key
from autoseg.datasets.recognition.pairing import Joined, Named
from autoseg.datasets.recognition.patterns import suggest_pattern
from autoseg.datasets.recognition.tokens import is_id, word_set

SAMPLED = 3
"""Number of files of a series that are read to decide how it stores labels."""

SECONDARY_WORDS = word_set(
    """
    color colors colour colours rgb overlay overlays preview vis
    pred preds prediction predictions prob probs probability probabilities output outputs auto
    automatic
    """
)
"""Words of label files that are drawn to be looked at, or were predicted."""

OBJECT_WORDS = word_set(
    """
    instance instances inst object objects obj
    """
)
"""Words of label files that number or hold single objects."""

UNCHANGED = 0.97
"""Least Dice of masks of different images that mark the field of view."""

LEAST_VIEW = 0.25
"""Least share of an image that a mask of the field of view covers."""


class LabelSeries:
    """Label files of several cases that are of one kind.

    Args:
        key: Tokens that tell the kind apart from other kinds.
        keys: All tokens of the files in addition to those of their images; several if the files
            also differ in ids.
        files: A file per case that has one, by the number of the case.
        case: Tokens of the first of these cases.
        root: Folder of the dataset.
    """

    def __init__(
        self, key: Key, keys: tuple[Key, ...], files: dict[int, Named], case: Key, root: Path
    ) -> None:
        self.key, self.keys, self.files, self._case, self._root = key, keys, files, case, root

    @property
    def words(self) -> frozenset[str]:
        """All words of the tokens."""
        return frozenset(self.key)

    @property
    def path_words(self) -> frozenset[str]:
        """All words of the paths, also those that all label files share."""
        first = next(iter(self.files.values()))
        return frozenset(word for name in first.words.names for word, _ in name)

    @property
    def name(self) -> str:
        """Name of the class, if there is a file per class: from the folder, or from the file."""
        first = next(iter(self.files.values()))
        folders = [token for token in first.words.folder_key if token in self.key]
        words = [token.rpartition("-")[2] for token in folders or self.key]
        return " ".join(words) or "foreground"

    @property
    def pattern(self) -> str:
        """Pattern of the paths, with `*` in the place of ids that only one file has."""
        first = next(iter(self.files.values()))
        pattern = suggest_pattern(first, self._case, self.files.values())
        ids = [token for token in self.key if is_id(token)] if len(self.files) == 1 else []
        for token in ids:
            pattern = re.sub(re.escape(token), "*", pattern, flags=re.IGNORECASE)
        return pattern

    @property
    def example(self) -> str:
        """Path of the first file, relative to the dataset."""
        return next(iter(self.files.values())).item.path.as_posix()

    def content(self, number: int) -> Content | None:
        """Return the voxels of a case's file; None if it cannot be read."""
        return _content(self.files[number].item.file(self._root))

    def sample(self, most: int = SAMPLED) -> list[Content]:
        """Return the voxels of a few files that can be read, evenly spaced among the cases."""
        return sampled([named.item.file(self._root) for named in self.files.values()], most)

    @cached_property
    def is_binary(self) -> bool:
        """Whether the files have at most two values, or nearly so."""
        return all(content.is_mask for content in self.sample())

    @cached_property
    def is_field_of_view(self) -> bool:
        """Whether the masks hardly differ between images and cover most of them."""
        masks = [content.foreground for content in self.sample()]
        if len(masks) < 2 or not self.is_binary or any(m.shape != masks[0].shape for m in masks):
            return False
        same = all(dice(mask, masks[0]) >= UNCHANGED for mask in masks[1:])
        return same and bool(np.mean(masks[0]) >= LEAST_VIEW)

    def joined(self, others: Sequence["LabelSeries"], key: Key) -> "LabelSeries":
        """Return one series with the files of all, which are of different cases."""
        everything = (self, *others)
        files = {number: file for one in everything for number, file in one.files.items()}
        keys = tuple(key for one in everything for key in one.keys)
        return LabelSeries(key, keys, files, self._case, self._root)


def sampled(paths: Sequence[Path], most: int = SAMPLED) -> list[Content]:
    """Return the contents of a few files that can be read, evenly spaced."""
    places = np.linspace(0, len(paths) - 1, min(most, len(paths))).round()
    found = [_content(paths[int(place)]) for place in places]
    return [content for content in found if content is not None]


@lru_cache(maxsize=32)
def _content(path: Path) -> Content | None:
    return content_of(path)


def forget_contents() -> None:
    """Release the voxels of all label files that were read."""
    _content.cache_clear()


def label_series(cases: Sequence[Joined], root: Path) -> list[LabelSeries]:
    """Group the label files of all cases by the tokens that their images lack."""
    files: dict[Key, dict[int, Named]] = defaultdict(dict)
    for number, case in enumerate(cases):
        for key, found in case.labels.items():
            files[key][number] = found[0]
    return [
        LabelSeries(key, (key,), numbered, cases[next(iter(numbered))].key, root)
        for key, numbered in sorted(files.items())
    ]


def join_series(
    series: Sequence[LabelSeries], simplified: Callable[[Key], Key]
) -> list[LabelSeries] | None:
    """Join series whose simplified tokens are equal; None if a case has two files of one."""
    groups: dict[Key, list[LabelSeries]] = defaultdict(list)
    for one in series:
        groups[simplified(one.key)].append(one)
    joined = [first.joined(others, key) for key, (first, *others) in sorted(groups.items())]
    number = sum(len(one.files) for one in series)
    return joined if sum(len(one.files) for one in joined) == number else None


def without_ids(key: Key) -> Key:
    """Return the tokens without a digit."""
    return tuple(token for token in key if not is_id(token))


def dice(first: MaskArray, second: MaskArray) -> float:
    """Return the Dice of two masks of equal shape; 1 if both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int(np.sum(first & second)) / total if total else 1.0
