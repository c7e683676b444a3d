"""Parse file names into stem, channel number and extension."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from unicodedata import normalize

from autoseg.core.errors import CaseError
from autoseg.core.formatting import escape_bytes, format_count, format_names
from autoseg.readers.base import READERS, Reader
from autoseg.readers.dicom_series import is_dicom
from autoseg.readers.nifti_header import HEADER_ENDING, is_pair

CHANNEL_SUFFIX = re.compile(r"_(\d{4})$")
"""Channel suffix of nnU-Net's file names: `CASE_0000`, `CASE_0001`, …"""

MOST_SUFFIXES = 3
"""Maximum number of dots in a file extension; `.ome.tiff` has 2."""


def channel_of(stem: str) -> int | None:
    """Return the channel number at the end of a stem, or None if there is none."""
    match = CHANNEL_SUFFIX.search(stem)
    return int(match.group(1)) if match else None


def without_channel_suffix(stem: str) -> str:
    """Return the stem without its channel number."""
    return CHANNEL_SUFFIX.sub("", stem)


def known_endings() -> tuple[str, ...]:
    """Return the file extensions of all readers, e.g. `.nii.gz`."""
    return _endings(tuple(READERS), None)


def container_endings(kind: str) -> tuple[str, ...]:
    """Return the extensions of containers that are a `file` or a `folder`."""
    return _endings(tuple(READERS), kind)


@cache
def _endings(names: tuple[str, ...], container: str | None) -> tuple[str, ...]:
    """Return the extensions of some readers; of those of one kind of container unless None."""
    readers = _readers(names)
    return tuple(ending for ending, one in readers.items() if container in (None, one.container))


@cache
def _readers(names: tuple[str, ...]) -> dict[str, Reader]:
    """Return the readers with these names by their extensions."""
    readers = [READERS[name].model_validate({"kind": name}) for name in names]
    return {ending: reader for reader in reversed(readers) for ending in reader.endings}


def split_container(path: Path) -> tuple[Path, str]:
    """Split the path of an image into that of its file and the one inside of it.

    `case.h5/raw` is in `case.h5`. A file with an extension of its own is not in a container, unless
    that is a file: `data.zarr/case.nii.gz` is in a folder with an unusual name.

    Returns:
        Path of the file, and path inside of it; empty if the file is the image.
    """
    files, folders = container_endings("file"), container_endings("folder")
    if _own_ending(path) in known_endings():
        is_inside = path.parent.name.lower().endswith(files) and path.parent.is_file()
        return (path.parent, path.name) if is_inside else (path, "")
    for parent in path.parents:
        if parent.name.lower().endswith((*files, *folders)):
            return parent, path.relative_to(parent).as_posix()
    return path, ""


def ending_of(path: Path) -> str:
    """Return the known extension in lower case (`.nii.gz`), or the last suffix if unknown.

    That of an image in a container is the container's. The extension of DICOM files that have
    another name, such as `IM0001`, is `.dcm`.
    """
    return _own_ending(split_container(path)[0])


def _own_ending(path: Path) -> str:
    if ending := _known_ending(path.name, tuple(READERS)):
        return ending
    return ".dcm" if is_dicom(path) else path.suffix


@lru_cache(maxsize=1024)
def _known_ending(name: str, reader_names: tuple[str, ...]) -> str:
    """Return the longest known extension of a file name in lower case; empty if there is none."""
    readers, parts = _readers(reader_names), name.lower().split(".")
    for first in range(max(1, len(parts) - MOST_SUFFIXES), len(parts)):
        if (ending := "." + ".".join(parts[first:])) in readers:
            return ending
    return ""


def stem_of(path: Path) -> str:
    """Return the file name without its extension: `case` for `case.nii.gz` and `case.h5/raw`.

    The stem is normalised to Unicode form NFC, because some file systems decompose accented
    letters; without this, equal names could differ.
    """
    file, _ = split_container(path)
    ending = _own_ending(file)
    has_ending = file.name.lower().endswith(ending.lower())
    name = file.name[: len(file.name) - len(ending)] if has_ending else file.name
    return normalize("NFC", escape_bytes(name))


def is_utf8(path: Path) -> bool:
    """Return True if a path is text in UTF-8; Python has surrogates for other bytes."""
    return str(path) == escape_bytes(str(path))


def name_of(path: Path) -> str:
    """Return the file name for messages, with the path inside of a container."""
    file, inner = split_container(path)
    return f"{file.name}/{inner}" if inner else file.name


def is_image_name(path: Path) -> bool:
    """Return True if the file has a known extension and is not hidden.

    Of the files `case.hdr` and `case.img`, the header is the image.
    """
    if path.name.startswith(".") or _own_ending(path) not in known_endings():
        return False
    return _own_ending(path) != HEADER_ENDING or is_pair(path)


def label_ending(image_ending: str) -> str:
    """Return the extension for label maps of an image: its own if label maps have it.

    Otherwise, it is another one that the reader names. The first part of endings such as `.ome.tif`
    and `.seg.nrrd` is left out.
    """
    image_ending = image_ending.removeprefix(".ome").removeprefix(".seg")
    reader = reader_for(Path(f"case{image_ending}"))
    if image_ending in reader.label_endings:
        return image_ending
    return reader.label_endings[0] if reader.label_endings else reader.replacement_ending


def reader_for(path: Path) -> Reader:
    """Return the reader of the file's format.

    Raises:
        CaseError: If no reader supports the extension.
    """
    ending = ending_of(path)
    if reader := _readers(tuple(READERS)).get(ending):
        return reader
    raise CaseError(
        f"{path} has the unknown extension {ending!r}. "
        f"Expected one of {', '.join(known_endings())}; convert the file to one of these formats."
    )


def only_image(path: Path, names: Sequence[str]) -> str:
    """Return the only image in a container.

    Args:
        path: The container.
        names: Paths of the images inside of it.

    Raises:
        CaseError: If there are several images, or none.
    """
    if len(names) == 1:
        return names[0]
    if not names:
        raise CaseError(f"{path} holds no image; expected an array of numbers with 2 axes or more.")
    shown = [f"{path.name}/{name}".rstrip("/") for name in names]
    raise CaseError(
        f"{path} holds {format_count(len(names), 'image')}, {format_names(shown)}; expected one. "
        f"Choose one by its path ({shown[-1]}), or when planning with patterns, such as --image "
        f"'{{case}}{ending_of(path)}/{names[-1]}'."
    )


def missing_package(name: str) -> str:
    """Return a sentence if files with an extension need a package that is not installed, else "".

    Args:
        name: Name of a file, or a pattern of paths.
    """
    for reader in (READERS[kind] for kind in READERS if READERS[kind].package):
        is_named = any(part.lower().endswith(reader.endings) for part in name.split("/"))
        if is_named and find_spec(reader.package) is None:
            return (
                f"{reader.endings[0]} files need the package {reader.package}, which is not "
                f'installed. Install it with: pip install "autoseg[{reader.extra}]".'
            )
    return ""
