"""List the files of a folder, with a DICOM series or a Zarr store as one item."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from autoseg.core.errors import MissingPackage
from autoseg.readers import ENDINGS
from autoseg.readers.dicom_series import ENDINGS as DICOM_ENDINGS
from autoseg.readers.dicom_series import SeriesFile, is_dicom, series_file

TABLES = (".csv", ".tsv", ".xlsx")
"""Endings of tables."""

TEXTS = (".txt", ".json", ".xml", ".geojson", ".annotations", ".label", ".ctbl")
"""Endings of lists, annotations and names of classes."""

DICOM_ENDING = ".dcm"
"""Ending of the items that are DICOM series."""

NOT_IMAGES = frozenset(("SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "PR", "KO", "SR", "REG"))
"""Modalities of DICOM files that are not images, whether or not they have pixels."""

HEADERS = "the DICOM headers"
"""Source of what `modality_of` returns and of patient IDs."""

SKIPPED_FOLDERS = frozenset(("__MACOSX", "__pycache__", "node_modules"))
"""Folders without data."""


@dataclass(frozen=True)
class Item:
    """An image file, or a DICOM series.

    Attributes:
        path: Path relative to the dataset. Of DICOM images: their folder if it has one image,
            otherwise followed by the description and number of a series of slices, or by the name
            of any other file.
        stem: Name without the extension, in Unicode form NFC.
        ending: Extension in lower case, such as `.nii.gz`.
        series: Header of the first file of a DICOM series; None for other images.
    """

    path: PurePosixPath
    stem: str
    ending: str
    series: SeriesFile | None = None

    def file(self, root: Path) -> Path:
        """Return the file to read; of a DICOM series its first file, by name."""
        return root / self.path if self.series is None else self.series.path


@dataclass
class Inventory:
    """The content of a folder.

    Attributes:
        root: The folder.
        items: Images that can be read, sorted by path.
        tables: Tables, relative paths.
        texts: Lists, annotations and names of classes, relative paths.
        segmentations: Headers of the DICOM segmentations and structure sets.
        others: Other files, relative paths.
        unread: Number of other files by extension.
        broken_links: Links to files that do not exist, relative paths.
    """

    root: Path
    items: list[Item] = field(default_factory=list)
    tables: list[PurePosixPath] = field(default_factory=list)
    texts: list[PurePosixPath] = field(default_factory=list)
    segmentations: list[SeriesFile] = field(default_factory=list)
    others: list[PurePosixPath] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    broken_links: list[PurePosixPath] = field(default_factory=list)


def modality_of(items: Iterable[Item]) -> tuple[str, ...]:
    """Return the modality of DICOM series, as the only channel name; empty if they differ."""
    found = {item.series.modality if item.series else "" for item in items}
    return tuple(found) if len(found) == 1 and "" not in found else ()


def take_inventory(root: Path) -> Inventory:
    """List the content of a folder and its subfolders.

    No file is opened, except for the headers of DICOM files, also of those without an extension.
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
    dicom: list[Path] = []
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
        elif not _add(path, inventory, endings):
            dicom.append(Path(entry.path))
    _add_series(dicom, relative, inventory)


def _add(path: PurePosixPath, inventory: Inventory, endings: tuple[str, ...]) -> bool:
    """Add a file to the inventory; return False for a DICOM file, which is not added."""
    name = path.name.lower()
    ending = next((ending for ending in endings if name.endswith(ending)), None)
    is_known = ending is not None or name.endswith((*TABLES, *TEXTS))
    if ending in DICOM_ENDINGS or (not is_known and is_dicom(inventory.root / path)):
        return False
    if ending is not None:
        stem = normalize("NFC", path.name[: len(path.name) - len(ending)])
        inventory.items.append(Item(path, stem, ending))
    elif name.endswith(TABLES):
        inventory.tables.append(path)
    elif name.endswith(TEXTS):
        inventory.texts.append(path)
    else:
        inventory.others.append(path)
        inventory.unread[path.suffix.lower()] += 1
    return True


def _add_series(files: list[Path], folder: PurePosixPath, inventory: Inventory) -> None:
    """Add the DICOM files of one folder, the slices of a series as one item."""
    series: dict[tuple[str, Path | None], SeriesFile] = {}
    for path in files:
        try:
            header = series_file(path)
        except MissingPackage:
            header = None
        if header is None:
            inventory.unread[DICOM_ENDING] += 1
        elif header.modality in ("SEG", "RTSTRUCT"):
            inventory.segmentations.append(header)
        elif not header.is_image or header.is_localizer or header.modality in NOT_IMAGES:
            inventory.unread[f"DICOM {header.modality or 'of no modality'}"] += 1
        else:
            series.setdefault((header.series, None if header.is_slice else path), header)
    names = _series_names(list(series.values()))
    for name, header in zip(names, series.values(), strict=True):
        shown = folder / name if name else folder
        inventory.items.append(Item(shown, normalize("NFC", shown.name), DICOM_ENDING, header))


def _series_names(series: list[SeriesFile]) -> list[str]:
    """Name the images in a folder: empty if there is one.

    Otherwise a series of slices has its description and number, and any other image its file name.
    """
    if len(series) == 1:
        return [""]
    names = [
        re.sub(r"[\\/\s]+", " ", f"{one.description or one.modality} {one.number}").strip()
        if one.is_slice
        else _stem(one.path.name)
        for one in series
    ]
    repeated = Counter(names)
    return [
        name if repeated[name] == 1 else f"{name} {_stem(one.path.name)}"
        for name, one in zip(names, series, strict=True)
    ]


def _stem(name: str) -> str:
    ending = next((ending for ending in DICOM_ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]
