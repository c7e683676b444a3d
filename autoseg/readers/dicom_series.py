"""DICOM files: recognise them, load their attributes, and find the files of a series."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

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
    *("ImagePositionPatient", "ImageOrientationPatient"),
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
        is_slice: Whether the file is one slice with a position.
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
    is_slice: bool
    is_image: bool
    is_localizer: bool


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
    wanted = None if tags is None else list(tags)
    return import_pydicom().dcmread(
        path,
        stop_before_pixels=not pixels,
        specific_tags=wanted,
        force=path.suffix.lower() in ENDINGS,  # old files lack the preamble
    )


def series_file(path: Path) -> SeriesFile | None:
    """Read what the header of a file says of its series; None if it cannot be read."""
    try:
        found = load(path, tags=HEADER_TAGS)
        modality = str(found.Modality)
    except MissingPackage:
        raise
    except Exception:  # noqa: BLE001  (pydicom raises many types of errors on damaged files)
        return None

    def text(keyword: str) -> str:
        return str(found.get(keyword) or "").strip()

    position = found.get("ImagePositionPatient")
    return SeriesFile(
        path=path,
        instance=text("SOPInstanceUID"),
        series=text("SeriesInstanceUID") or f"{text('SeriesNumber')} {text('SeriesDescription')}",
        study=text("StudyInstanceUID"),
        frame_of_reference=text("FrameOfReferenceUID"),
        modality=modality,
        patient=text("PatientID"),
        description=text("SeriesDescription"),
        number=text("SeriesNumber"),
        is_slice=bool(position) and int(found.get("NumberOfFrames") or 1) == 1,
        is_image="Rows" in found and "Columns" in found,
        is_localizer="LOCALIZER" in (found.get("ImageType") or ()),
    )


def files_of_series(path: Path) -> tuple[Path, ...]:
    """Return the files of the series that a file belongs to, which are in the same folder.

    A file that is not a single slice with a position, such as a radiograph or a multi-frame image,
    is an image of its own.
    """
    own = series_file(path)
    if own is None or not own.is_slice:
        return (path,)
    return _series_in(path.parent, path.parent.stat().st_mtime_ns).get(own.series, (path,))


@lru_cache(maxsize=8)  # every slice of a folder with many series asks for it
def _series_in(folder: Path, changed: int) -> dict[str, tuple[Path, ...]]:
    """Return the slices of each series in a folder, by UID.

    Args:
        folder: The folder.
        changed: Time of its last change, ns, so that added files are found.
    """
    del changed
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        if path.is_file() and is_dicom(path) and (one := series_file(path)) and one.is_slice:
            found[one.series].setdefault(one.instance or path.name, path)  # copies count once
    return {series: tuple(paths.values()) for series, paths in found.items()}
