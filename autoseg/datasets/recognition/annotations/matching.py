"""Find the images that annotation files name, or that they are named after."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePosixPath
from unicodedata import normalize

from autoseg.datasets.recognition.inventory import Inventory, Item
from autoseg.datasets.recognition.keys import Key
from autoseg.datasets.recognition.tokens import path_tokens

SERIES = re.compile(r" - [^/]*$")
"""What QuPath adds to the name of a file that holds several images."""


def _composed(name: str) -> str:
    return normalize("NFC", name)


class ImageIndex:
    """The images of a folder by their names.

    Args:
        inventory: The content of the folder.
    """

    def __init__(self, inventory: Inventory) -> None:
        self._items = inventory.items
        self._names: dict[str, list[Item]] = defaultdict(list)
        self._stems: dict[str, list[Item]] = defaultdict(list)
        for item in inventory.items:
            self._names[_composed(item.path.name)].append(item)
            self._stems[item.stem].append(item)
        self._others: dict[str, list[PurePosixPath]] = defaultdict(list)
        for path in inventory.others:
            for name in {_composed(path.name), _composed(path.stem)}:
                self._others[name].append(path)

    @cached_property
    def _keys(self) -> dict[Key, list[Item]]:
        found: dict[Key, list[Item]] = defaultdict(list)
        for item in self._items:
            found[_key(item.stem)].append(item)
        return found

    def named(self, name: str, source: PurePosixPath) -> Item | PurePosixPath | None:
        """Return the image that an annotation file names.

        Args:
            name: Path of the image as the file gives it.
            source: Path of the annotation file.

        Returns:
            The image; the path of a file that cannot be read; None if there is none or several.
        """
        path = PurePosixPath(_composed(os.path.normpath(source.parent / name)))
        items = self._names.get(path.name, [])
        exact = [item for item in items if item.path == path]
        parts = PurePosixPath(_composed(name)).parts
        ending = [item for item in items if item.path.parts[-len(parts) :] == parts]
        return _nearest(exact or ending or items, source) or self._unreadable(path.name)

    def of_file(self, source: PurePosixPath) -> Item | PurePosixPath | None:
        """Return the image that an annotation file is named after, like `named`.

        `slide.json`, `slide.tif.json` and `slide.tif - Series 0.json` belong to `slide.tif`.
        """
        base = _composed(source.name[: -len(source.suffix)])
        for name in dict.fromkeys((base, SERIES.sub("", base))):
            items = self._names.get(name) or self._stems.get(name)
            if found := _nearest(items or [], source) or self._unreadable(name):
                return found
        name = SERIES.sub("", base)
        items = self._stems.get(PurePosixPath(name).stem) or self._keys.get(_key(name) or ("",))
        return _nearest(items or [], source)

    def _unreadable(self, name: str) -> PurePosixPath | None:
        return next(iter(self._others.get(name, ())), None)


def _key(stem: str) -> Key:
    """Return the tokens of a name without words such as `labels`."""
    return path_tokens(PurePosixPath(stem), stem).key


def _nearest(items: Sequence[Item], source: PurePosixPath) -> Item | None:
    """Return the image that shares most folders with a file; None if several do."""

    def shared(item: Item) -> tuple[bool, int]:
        folders = set(item.path.parent.parts) & set(source.parent.parts)
        return item.path.parent == source.parent, len(folders)

    best = max(map(shared, items), default=None)
    chosen = [item for item in items if shared(item) == best]
    return chosen[0] if len(chosen) == 1 else None
