"""List the files of a folder, with a DICOM series or a Zarr store as one item."""

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from autoseg.readers import ENDINGS

TABLES = (".csv", ".tsv", ".xlsx")
"""Endings of tables."""

TEXTS = (".txt", ".json", ".xml", ".geojson", ".label", ".ctbl")
"""Endings of lists, annotations and names of classes."""

SKIPPED_FOLDERS = frozenset(("__MACOSX", "__pycache__", "node_modules"))
"""Folders without data."""


@dataclass(frozen=True)
class Item:
    """An image file, or a folder that is one image.

    Attributes:
        path: Path relative to the dataset.
        stem: Name without the extension, in Unicode form NFC.
        ending: Extension in lower case, such as `.nii.gz`.
    """

    path: PurePosixPath
    stem: str
    ending: str


@dataclass
class Inventory:
    """The content of a folder.

    Attributes:
        root: The folder.
        items: Images that can be read, sorted by path.
        tables: Tables, relative paths.
        texts: Lists, annotations and names of classes, relative paths.
        unread: Number of other files by extension.
        broken_links: Links to files that do not exist, relative paths.
    """

    root: Path
    items: list[Item] = field(default_factory=list)
    tables: list[PurePosixPath] = field(default_factory=list)
    texts: list[PurePosixPath] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    broken_links: list[PurePosixPath] = field(default_factory=list)


def take_inventory(root: Path) -> Inventory:
    """List the content of a folder and its subfolders, without opening any file.

    Hidden files and folders are left out. A folder that is linked into itself is entered once.
    """
    inventory = Inventory(root)
    endings = tuple(sorted(ENDINGS, key=len, reverse=True))
    _enter(root, PurePosixPath(), inventory, endings, {root.resolve()})
    inventory.items.sort(key=lambda item: item.path)
    return inventory


def _enter(
    folder: Path,
    relative: PurePosixPath,
    inventory: Inventory,
    endings: tuple[str, ...],
    entered: set[Path],
) -> None:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS:
            continue
        path = relative / entry.name
        if entry.is_dir():
            target = Path(entry.path).resolve() if entry.is_symlink() else None
            if target is None or target not in entered:
                entered.update({target} if target else ())
                _enter(Path(entry.path), path, inventory, endings, entered)
        elif entry.is_symlink() and not Path(entry.path).exists():
            inventory.broken_links.append(path)
        else:
            _add(path, inventory, endings)


def _add(path: PurePosixPath, inventory: Inventory, endings: tuple[str, ...]) -> None:
    name = path.name.lower()
    ending = next((ending for ending in endings if name.endswith(ending)), None)
    if ending is not None:
        stem = normalize("NFC", path.name[: len(path.name) - len(ending)])
        inventory.items.append(Item(path, stem, ending))
    elif name.endswith(TABLES):
        inventory.tables.append(path)
    elif name.endswith(TEXTS):
        inventory.texts.append(path)
    else:
        inventory.unread[path.suffix.lower()] += 1
