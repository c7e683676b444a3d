"""List the files of a folder, and the images inside of containers."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from autoseg.core.errors import CaseError, DatasetError, MissingPackage
from autoseg.core.formatting import escape_bytes, format_names
from autoseg.readers import ENDINGS, images_in
from autoseg.readers.dicom_series import ENDINGS as DICOM_ENDINGS
from autoseg.readers.dicom_series import SeriesFile, is_dicom, series_file
from autoseg.readers.names import container_endings, is_utf8, missing_package
from autoseg.readers.nifti_header import HEADER_ENDING, VOXEL_ENDING, is_pair

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
FOLDERS = container_endings("folder")
"""Endings of containers that are folders."""

CONTAINERS = (*container_endings("file"), *FOLDERS)
"""Endings of containers."""

SKIPPED_FOLDERS = frozenset(("__MACOSX", "__pycache__", "node_modules"))
"""Folders without data."""


@dataclass(frozen=True)
class Item:
    """An image file, a DICOM series, or an image in a container.

    Attributes:
        path: Path relative to the dataset; `case.h5/raw` if a container holds several images. Of
            DICOM images: their folder if it has one image, otherwise followed by the description
            and number of a series of slices, or by the name of any other file.
        stem: Name without the extension, in Unicode form NFC.
        ending: Extension in lower case, such as `.nii.gz`.
        inside: Path inside of the container if this is its only image, and has a name.
        series: Header of the first file of a DICOM series; None for other images.
    """

    path: PurePosixPath
    stem: str
    ending: str
    inside: str = ""
    series: SeriesFile | None = None

    def file(self, root: Path) -> Path:
        """Return the file to read; of a DICOM series its first file, by name."""
        return root / self.path if self.series is None else self.series.path

    @cached_property
    def words(self) -> PurePosixPath:
        """Path without extensions, with the names in a container as folders."""
        parts = [*self.path.parts[:-1], self.stem, *PurePosixPath(self.inside).parts]
        return PurePosixPath(*map(self._without_ending, parts))

    @property
    def container(self) -> str:
        """Name of the container without its extension, if it holds several images."""
        if self.ending not in CONTAINERS:
            return ""
        names = [self._without_ending(name) for name in self.path.parts[:-1]]
        pairs = zip(names, self.path.parts[:-1], strict=True)
        return next((name for name, whole in pairs if name != whole), "")

    def _without_ending(self, name: str) -> str:
        is_container = self.ending in CONTAINERS and name.lower().endswith(self.ending)
        return normalize("NFC", name[: -len(self.ending)] if is_container else name)


@dataclass
class Inventory:
    """The content of a folder.

    Attributes:
        root: The folder.
        items: Images that can be read, sorted by path.
        tables: Tables, relative paths.
        texts: Lists, annotations and names of classes, relative paths.
        segmentations: Headers of the DICOM segmentations and structure sets.
        series: Path of each DICOM series of slices, and the UIDs of its files, by its UID.
        others: Other files, relative paths.
        unread: Number of other files by extension.
        broken_links: Links to files that do not exist, relative paths.
        damaged: Containers that cannot be read, and files and folders whose names are not UTF-8,
            relative paths.
    """

    root: Path
    items: list[Item] = field(default_factory=list)
    tables: list[PurePosixPath] = field(default_factory=list)
    texts: list[PurePosixPath] = field(default_factory=list)
    segmentations: list[SeriesFile] = field(default_factory=list)
    series: dict[str, tuple[PurePosixPath, set[str]]] = field(default_factory=dict)
    others: list[PurePosixPath] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    broken_links: list[PurePosixPath] = field(default_factory=list)
    damaged: list[PurePosixPath] = field(default_factory=list)


def choose_series(inventory: Inventory, patterns: Sequence[str]) -> Inventory:
    """Return the content of a folder without the DICOM series that fit no pattern.

    Args:
        inventory: The content of the folder.
        patterns: Patterns of the descriptions of series, such as `T1*`, in upper or lower case;
            without any, all series stay.

    Raises:
        DatasetError: If no series fits a pattern.
    """
    found = {item.series.description for item in inventory.items if item.series}
    chosen: set[str] = set()
    for pattern in patterns:
        fitting = {text for text in found if fnmatchcase(text.lower(), pattern.lower())}
        if not fitting:
            raise DatasetError(
                f"no DICOM series has a description that fits --series {pattern!r}; found "
                f"{format_names(sorted(found)) or 'no series'}."
            )
        chosen |= fitting
    items = [i for i in inventory.items if not i.series or i.series.description in chosen]
    return replace(inventory, items=items) if patterns else inventory


def modality_of(items: Iterable[Item]) -> tuple[str, ...]:
    """Return the modality of DICOM series, as the only channel name; empty if they differ."""
    found = {item.series.modality if item.series else "" for item in items}
    return tuple(found) if len(found) == 1 and "" not in found else ()


def take_inventory(root: Path) -> Inventory:
    """List the content of a folder and its subfolders.

    No file is opened, except for the headers of DICOM files, also of those without an extension,
    and `.hdr` files, which with their `.img` files are one item.
    Hidden files and folders are left out. A folder that is linked into itself is entered once.
    """
    inventory = Inventory(root)
    _enter(root, PurePosixPath(), inventory, {root.resolve()})
    inventory.items.sort(key=lambda item: item.path)
    return inventory


def _enter(folder: Path, relative: PurePosixPath, inventory: Inventory, entered: set[Path]) -> None:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    dicom: list[Path] = []
    odd = {entry.name for entry in ordered if not is_utf8(Path(entry.name))}
    inventory.damaged += [relative / escape_bytes(name) for name in sorted(odd)]
    for entry in ordered:
        if entry.name in odd or _is_left_out(entry):
            continue
        path = relative / entry.name
        if entry.is_dir():
            if _ending(entry.name, FOLDERS) and _add_images(path, inventory):
                continue
            target = Path(entry.path).resolve() if entry.is_symlink() else None
            if target is None or target not in entered:
                entered.update({target} if target else ())
                _enter(Path(entry.path), path, inventory, entered)
        elif entry.is_symlink() and not Path(entry.path).exists():
            inventory.broken_links.append(path)
        elif not _add(path, inventory):
            dicom.append(Path(entry.path))
    _add_series(dicom, relative, inventory)


def _is_left_out(entry: os.DirEntry[str]) -> bool:
    """Return True for hidden files, folders without data, and voxels with a header of their own."""
    if entry.name.startswith(".") or entry.name in SKIPPED_FOLDERS:
        return True
    return entry.name.lower().endswith(VOXEL_ENDING) and is_pair(Path(entry.path))


def _add(path: PurePosixPath, inventory: Inventory) -> bool:
    """Add a file to the inventory; return False for a DICOM file, which is not added."""
    name = path.name.lower()
    ending = _ending(name, ENDINGS)
    is_known = ending or name.endswith((*TABLES, *TEXTS))
    is_header = ending != HEADER_ENDING or is_pair(inventory.root / path)
    ending = ending if is_header else ""
    if ending in DICOM_ENDINGS or (not is_known and is_dicom(inventory.root / path)):
        return False
    if ending in CONTAINERS:
        if ending in FOLDERS or not _add_images(path, inventory):
            inventory.unread[ending] += 1
    elif ending:
        inventory.items.append(Item(path, _stem(path.name, ending), ending))
    elif name.endswith(TABLES):
        inventory.tables.append(path)
    elif name.endswith(TEXTS):
        inventory.texts.append(path)
    else:
        inventory.others.append(path)
        inventory.unread["".join(PurePosixPath(name).suffixes[-1 - name.endswith(".gz") :])] += 1
    return True


def _add_series(files: list[Path], folder: PurePosixPath, inventory: Inventory) -> None:
    """Add the DICOM files of one folder, the slices of a series as one item."""
    series: dict[tuple[str, Path | None], list[SeriesFile]] = defaultdict(list)
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
            series[header.series, None if header.is_slice else path].append(header)
    names = _series_names(list(series.values()))
    for name, headers in zip(names, series.values(), strict=True):
        shown = folder / name if name else folder
        stem = normalize("NFC", shown.name)
        if not _is_copy(headers, shown, inventory):
            inventory.items.append(Item(shown, stem, DICOM_ENDING, series=headers[0]))


def _is_copy(headers: list[SeriesFile], shown: PurePosixPath, inventory: Inventory) -> bool:
    """Return True if a series is a copy of one in another folder.

    Raises:
        DatasetError: If the files of a series are spread over folders.
    """
    if not headers[0].is_slice:
        return False
    own = {header.instance for header in headers}
    where, known = inventory.series.setdefault(headers[0].series, (shown, own))
    if where != shown and known != own:
        raise DatasetError(
            f"the DICOM series {headers[0].series} is spread over several folders, {where} and "
            f"{shown}. Copy its files into one folder."
        )
    return where != shown


def _series_names(series: list[list[SeriesFile]]) -> list[str]:
    """Name the images in a folder: empty if there is one.

    Otherwise a series of several files has its description and number, and any other image the name
    of its file.
    """
    if len(series) == 1:
        return [""]
    files = [_stem(one[0].path.name, _ending(one[0].path.name, DICOM_ENDINGS)) for one in series]
    names = [
        re.sub(r"[\\/\s]+", " ", f"{one[0].description or one[0].modality} {one[0].number}").strip()
        if len(one) > 1
        else file
        for one, file in zip(series, files, strict=True)
    ]
    repeated = Counter(names)
    return [
        name if repeated[name] == 1 else f"{name} {file}"
        for name, file in zip(names, files, strict=True)
    ]


def _add_images(path: PurePosixPath, inventory: Inventory) -> bool:
    """Add the images in a container; return False if it holds none."""
    ending = _ending(path.name, CONTAINERS)
    try:
        names = images_in(inventory.root / path)
    except MissingPackage:
        names = ("unknown",)
    except CaseError:
        inventory.damaged.append(path)
        return True
    if names and missing_package(path.name):
        inventory.unread[ending] += 1
        return True
    stem = _stem(path.name, ending)
    if len(names) == 1:
        inventory.items.append(Item(path, stem, ending, names[0]))
        return True
    for name in names:
        own = normalize("NFC", PurePosixPath(name).name) or stem
        inventory.items.append(Item(path / name, own, ending))
    return bool(names)


def _stem(name: str, ending: str) -> str:
    return normalize("NFC", name[: len(name) - len(ending)])


def _ending(name: str, endings: Sequence[str]) -> str:
    """Return the longest extension of a name in lower case; an empty text if there is none."""
    name = name.lower()
    return max((each for each in endings if name.endswith(each)), key=len, default="")
