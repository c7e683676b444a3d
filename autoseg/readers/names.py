"""Parse file names into stem, channel number and extension."""

import re
from pathlib import Path
from unicodedata import normalize

from autoseg.core.errors import CaseError
from autoseg.readers.base import READERS, Reader
from autoseg.readers.dicom_series import is_dicom

CHANNEL_SUFFIX = re.compile(r"_(\d{4})$")
"""Channel suffix of nnU-Net's file names: `CASE_0000`, `CASE_0001`, …"""


def channel_of(stem: str) -> int | None:
    """Return the channel number at the end of a stem, or None if there is none."""
    match = CHANNEL_SUFFIX.search(stem)
    return int(match.group(1)) if match else None


def without_channel_suffix(stem: str) -> str:
    """Return the stem without its channel number."""
    return CHANNEL_SUFFIX.sub("", stem)


def known_endings() -> tuple[str, ...]:
    """Return the file extensions of all readers, e.g. `.nii.gz`."""
    return tuple(ending for kind in READERS for ending in READERS[kind].endings)


def ending_of(path: Path) -> str:
    """Return the known extension in lower case (`.nii.gz`), or the last suffix if unknown.

    The extension of DICOM files that have another name, such as `IM0001`, is `.dcm`.
    """
    name = path.name.lower()
    matching = [ending for ending in known_endings() if name.endswith(ending)]
    if not matching and is_dicom(path):
        return ".dcm"
    return max(matching, key=len, default=path.suffix)


def stem_of(path: Path) -> str:
    """Return the file name without its extension: `case` for `case.nii.gz`.

    The stem is normalised to Unicode form NFC, because some file systems decompose accented
    letters; without this, equal names could differ.
    """
    ending = ending_of(path)
    has_ending = path.name.lower().endswith(ending.lower())
    return normalize("NFC", path.name[: len(path.name) - len(ending)] if has_ending else path.name)


def is_image_name(path: Path) -> bool:
    """Return True if the file has a known extension and is not hidden."""
    return not path.name.startswith(".") and ending_of(path) in known_endings()


def label_ending(image_ending: str) -> str:
    """Return the extension for label maps of an image: its own if label maps have it.

    Otherwise, it is another one of its format, or `.nii.gz`. The first part of endings such as
    `.ome.tif` and `.seg.nrrd` is left out.
    """
    image_ending = image_ending.removeprefix(".ome").removeprefix(".seg")
    reader = reader_for(Path(f"case{image_ending}"))
    if image_ending in reader.label_endings:
        return image_ending
    return reader.label_endings[0] if reader.label_endings else ".nii.gz"


def reader_for(path: Path) -> Reader:
    """Return the reader of the file's format.

    Raises:
        CaseError: If no reader supports the extension.
    """
    ending = ending_of(path)
    for kind in READERS:
        if ending in READERS[kind].endings:
            return READERS[kind].model_validate({"kind": kind})
    raise CaseError(
        f"{path} has the unknown extension {ending!r}. "
        f"Expected one of {', '.join(known_endings())}; convert the file to one of these formats."
    )
