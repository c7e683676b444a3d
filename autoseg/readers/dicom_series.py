"""DICOM files: recognise them, load their attributes, and find the files of a series."""

import io
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from typing_extensions import override

from autoseg.core.errors import MissingPackage

Dataset: TypeAlias = Any
"""A `pydicom.Dataset`; pydicom is imported only where it is used."""

MAGIC = b"DICM"
"""Bytes 128 to 131 of a DICOM file (PS3.10, section 7.1)."""

ENDINGS = (".dcm", ".dicom", ".ima")
"""Usual extensions; many exports have none."""

INSTALL = 'DICOM files need the package pydicom. Install it with: pip install "autoseg[dicom]".'

HEADER_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "ImageType", "Modality", "PatientID"),
    *("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *("SeriesDescription", "SeriesNumber", "Rows", "Columns", "NumberOfFrames"),
    *("ImagePositionPatient", "PerFrameFunctionalGroupsSequence"),
)
"""Attributes by which files are sorted into series."""


@dataclass(frozen=True)
class SeriesFile:
    """What the header of a file says of its series.

    Attributes:
        path: The file.
        instance: UID of the file's content.
        series: UID of the series, or its number and description if the UID was removed.
        study: UID of the study.
        frame_of_reference: UID of the coordinate system; empty if there is none.
        modality: Modality, such as `CT`, `MR`, `SEG` or `RTSTRUCT`.
        patient: Patient ID.
        description: Description of the series.
        number: Number of the series.
        position: Centre of the first pixel (x, y, z) of a single slice, mm; empty otherwise.
        is_image: Whether the file has pixels.
        is_localizer: Whether the image is a localizer (scout), which shows the planned slices.
    """

    path: Path
    instance: str
    series: str
    study: str
    frame_of_reference: str
    modality: str
    patient: str
    description: str
    number: str
    position: tuple[float, ...]
    is_image: bool
    is_localizer: bool

    @property
    def is_slice(self) -> bool:
        """Whether the file is one slice with a position."""
        return bool(self.position)


def is_dicom(path: Path) -> bool:
    """Return True if a file begins like a DICOM file, or has one of its extensions."""
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == MAGIC
    except OSError:
        return False


def import_pydicom() -> Any:  # noqa: ANN401  (a module)
    """Import pydicom.

    Raises:
        MissingPackage: If it is not installed.
    """
    try:
        return import_module("pydicom")
    except ModuleNotFoundError as error:
        raise MissingPackage(INSTALL) from error


def load(path: Path, *, tags: Sequence[str] | None = None, pixels: bool = False) -> Dataset:
    """Load the attributes of a DICOM file.

    Args:
        path: The file.
        tags: Keywords of the attributes to load; None for all.
        pixels: Whether to load the stored pixels.

    Raises:
        MissingPackage: If pydicom is not installed.
        InvalidDicomError: If the file is not DICOM.
    """
    with _BoundedFile(path.open("rb", buffering=0)) as file:
        found: Dataset = import_pydicom().dcmread(
            file,
            stop_before_pixels=not pixels,
            specific_tags=None if tags is None else list(tags),
            force=path.suffix.lower() in ENDINGS,  # old files lack the preamble
        )
    return found


class _BoundedFile(io.BufferedReader):
    """A file that allocates no more than it holds, whatever length an element states."""

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


def series_file(path: Path) -> SeriesFile | None:
    """Read what the header of a file says of its series; None if it cannot be read."""
    try:
        return _series_file(path, load(path, tags=HEADER_TAGS))
    except MissingPackage:
        raise
    except Exception:  # noqa: BLE001  (pydicom raises many types of errors on damaged files)
        return None


def _series_file(path: Path, header: Dataset) -> SeriesFile | None:
    if "Rows" not in header and "SOPClassUID" not in header:
        return None

    def text(keyword: str) -> str:
        value = header.get(keyword) or ""
        parts = [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
        return re.sub(r"[\x00-\x1f\s]+", " ", " ".join(map(str, parts))).strip()

    return SeriesFile(
        path=path,
        instance=text("SOPInstanceUID"),
        series=text("SeriesInstanceUID") or f"{text('SeriesNumber')} {text('SeriesDescription')}",
        study=text("StudyInstanceUID"),
        frame_of_reference=text("FrameOfReferenceUID"),
        modality=text("Modality"),
        patient=text("PatientID"),
        description=text("SeriesDescription"),
        number=text("SeriesNumber"),
        position=_position(header) if int(header.get("NumberOfFrames") or 1) == 1 else (),
        is_image="Rows" in header and "Columns" in header,
        is_localizer="LOCALIZER" in (header.get("ImageType") or ()),
    )


def _position(header: Dataset) -> tuple[float, ...]:
    """Return the position of a slice, which multi-frame files of one frame state in a sequence."""
    (frame, *_) = header.get("PerFrameFunctionalGroupsSequence") or [header]
    (plane, *_) = frame.get("PlanePositionSequence") or [frame]
    return tuple(map(float, plane.get("ImagePositionPatient") or ()))


def files_of_series(path: Path) -> tuple[Path, ...]:
    """Return the files of the series that a file belongs to, which are in the same folder.

    A file that is not a single slice with a position, such as a radiograph or a multi-frame image,
    is an image of its own, and so is a localizer.
    """
    own = series_file(path)
    if own is None or not own.is_slice or own.is_localizer:
        return (path,)
    with os.scandir(path.parent) as entries:
        states = [entry.stat() for entry in entries if entry.is_file()]
    sizes, times = sum(s.st_size for s in states), sum(s.st_mtime_ns for s in states)
    return _series_in(path.parent, (len(states), sizes, times)).get(own.series, (path,))


@lru_cache(maxsize=64)  # every slice of a folder with many series needs it
def _series_in(folder: Path, state: tuple[int, int, int]) -> dict[str, tuple[Path, ...]]:
    """Return the slices of each series in a folder, by UID.

    Args:
        folder: The folder.
        state: Number of its files, and the sums of their sizes and times, so that changes are
            found.
    """
    del state
    found: dict[str, dict[object, Path]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        if not (path.is_file() and is_dicom(path)):
            continue
        one = series_file(path)
        if one is not None and one.is_slice and not one.is_localizer:
            own = (one.instance or path.name, one.position)  # copies of a file count once
            found[one.series].setdefault(own, path)
    return {series: tuple(paths.values()) for series, paths in found.items()}
