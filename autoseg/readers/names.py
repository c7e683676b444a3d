"""What a file's name says (format, stem, channel number), and how a shape is spelled."""

import re
from pathlib import Path
from unicodedata import normalize

from autoseg.core.errors import CaseError
from autoseg.readers.base import READERS, Reader

CHANNEL_SUFFIX = re.compile(r"_(\d{4})$")
"""`CASE_0000`, `CASE_0001`, …: one file per channel, as nnU-Net names them."""


def channel_of(stem: str) -> int | None:
    """Return the channel number at the end of a stem, or None if it has none."""
    found = CHANNEL_SUFFIX.search(stem)
    return int(found.group(1)) if found else None


def without_channel_suffix(stem: str) -> str:
    """Return the stem without its channel number."""
    return CHANNEL_SUFFIX.sub("", stem)


def known_endings() -> tuple[str, ...]:
    """Return every file ending that some reader is responsible for, e.g. `.nii.gz`."""
    return tuple(ending for kind in READERS for ending in READERS[kind].endings)


def ending_of(path: Path) -> str:
    """Return the ending that some reader knows, lower case (`.nii.gz`), else the last suffix."""
    name = path.name.lower()
    fitting = [ending for ending in known_endings() if name.endswith(ending)]
    return max(fitting, key=len, default=path.suffix)


def stem_of(path: Path) -> str:
    """Return the file's name without its ending: `case` for `case.nii.gz`.

    Letters with accents are single characters in it (Unicode's form NFC), however the file's system
    takes them apart, so that equal names are equal.
    """
    return normalize("NFC", path.name[: len(path.name) - len(ending_of(path))])


def is_image_name(path: Path) -> bool:
    """Return whether the name is that of an image: a known ending, and not a hidden file."""
    return not path.name.startswith(".") and ending_of(path) in known_endings()


def label_ending(image_ending: str) -> str:
    """Return the ending for labels of an image: its own, or `.png` where that would alter them."""
    keeps = image_ending in reader_for(Path(f"case{image_ending}")).label_endings
    return image_ending if keeps else ".png"


def reader_for(path: Path) -> Reader:
    """Return the reader of the file's format.

    Raises:
        CaseError: If no reader knows the ending.
    """
    ending = ending_of(path)
    for kind in READERS:
        if ending in READERS[kind].endings:
            return READERS[kind].model_validate({"kind": kind})
    msg = (
        f"{path} ends with {ending!r}, which is no known image format. "
        f"Convert it to one of {', '.join(known_endings())}."
    )
    raise CaseError(msg)


def times(shape: tuple[int, ...]) -> str:
    """Return a shape as text: `12 × 40 × 38`."""
    return " × ".join(map(str, shape))
