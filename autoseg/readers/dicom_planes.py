"""The slices of DICOM files, and the grid that they form.

Positions and directions are in patient coordinates (x, y, z), mm. Source: DICOM PS3.3 2024, C.7.6.2
(Image Plane Module) and C.7.6.16 (multi-frame functional groups).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoseg.core.errors import CaseError, MissingPackage
from autoseg.core.formatting import format_count, format_names
from autoseg.core.geometry import Geometry
from autoseg.readers.dicom_series import Dataset, files_of_series, load

VOLUME_TAGS = (
    *("TemporalPositionIdentifier", "TriggerTime", "AcquisitionNumber", "EchoTime"),
    *("DiffusionBValue", "ContentTime", "AcquisitionTime", "ImageType", "InstanceNumber"),
)
"""Attributes that tell apart the volumes of a series with several images at each position."""

SPACING_TOLERANCE = 0.1
"""Largest distance of a slice from its place on an evenly spaced grid, as a fraction of the slice
spacing; headers round positions to 0.1 mm or so."""

DIRECTION_TOLERANCE = 1e-3
"""Largest difference of direction cosines within a series."""


SIZES = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
"""Number of values of attributes."""

UNREADABLE_ADVICE = "If the file is damaged, copy or export it again."

GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
}
"""Functional group that holds an attribute in multi-frame files."""


@dataclass(frozen=True)
class Plane:
    """One slice: a file with a single image, or a frame of a multi-frame file.

    Attributes:
        path: The file.
        frame: Number of the frame, from 0.
        position: Centre of the first pixel (x, y, z), mm.
        directions: Direction of increasing column and of increasing row (2, 3).
        spacing: Distance of rows and of columns, mm.
        thickness: Distance of slices, or thickness, as stated in the header, mm; 1 if it is not.
    """

    path: Path
    frame: int
    position: NDArray[np.float64]
    directions: NDArray[np.float64]
    spacing: tuple[float, float]
    thickness: float

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector at right angles to the slice."""
        return np.cross(*self.directions)

    @property
    def name(self) -> str:
        """Name of the file, with the number of the frame if there are several."""
        return f"{self.path.name}, frame {self.frame + 1}" if self.frame else self.path.name


def planes_of(path: Path, dataset: Dataset) -> list[Plane]:
    """Return the slices in a file.

    Args:
        path: The file.
        dataset: Its attributes.

    Raises:
        ValueError: If a frame has no position.
    """
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or [None]
    if int(dataset.get("NumberOfFrames") or 1) != len(frames):
        raise ValueError(
            f"it has {dataset.NumberOfFrames} frames without positions; expected slices with "
            "positions. Export a film as pictures, or a volume as NIfTI"
        )
    return [
        Plane(
            path,
            number,
            _vector("ImagePositionPatient", frame, shared, dataset),
            _vector("ImageOrientationPatient", frame, shared, dataset).reshape(2, 3),
            _pair(_vector("PixelSpacing", frame, shared, dataset)),
            _thickness(frame, shared, dataset),
        )
        for number, frame in enumerate(frames)
    ]


def series_planes(path: Path) -> list[Plane]:
    """Return the sorted slices of the series that a file belongs to.

    Raises:
        ValueError: If the slices do not form an evenly spaced grid.
    """
    return ordered_planes([plane for file in files_of_series(path) for plane in _read_planes(file)])


def _read_planes(path: Path) -> list[Plane]:
    """Return the slices in a file of a series.

    Raises:
        CaseError: If the file cannot be read, with its name.
    """
    try:
        return planes_of(path, load(path))
    except MissingPackage:
        raise
    except Exception as error:
        raise CaseError(f"{path} cannot be read: {error}. {UNREADABLE_ADVICE}") from error


def find_value(keyword: str, *sources: Dataset) -> Any:  # noqa: ANN401  (a value of any type)
    """Return an attribute of a frame, of all frames, or of the file; None if it is missing.

    Args:
        keyword: Keyword of the attribute.
        sources: Functional groups of the frame, those of all frames, and the file; or None.
    """
    for source in sources:
        if source is None:
            continue
        group = (source.get(GROUPS[keyword]) or [source])[0]
        if group.get(keyword) is not None:
            return group.get(keyword)
    return None


def _vector(keyword: str, *sources: Dataset) -> NDArray[np.float64]:
    value = find_value(keyword, *sources)
    if value is None:
        raise ValueError(f"its header lacks {keyword}; expected slices with positions")
    vector = np.array(value, float)
    if vector.size != SIZES[keyword] or not np.isfinite(vector).all():
        raise ValueError(f"its {keyword} is {value}; expected {SIZES[keyword]} numbers")
    return vector


def _pair(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _thickness(*sources: Dataset) -> float:
    stated = (find_value(key, *sources) for key in ("SpacingBetweenSlices", "SliceThickness"))
    return next((abs(float(value)) for value in stated if value), 1.0)


def ordered_planes(planes: Sequence[Plane]) -> list[Plane]:
    """Sort slices along their normal, and check that they form an evenly spaced grid.

    Args:
        planes: Slices of one series.

    Raises:
        ValueError: If slices differ in direction or pixel spacing, share a position, are missing,
            unevenly spaced or displaced sideways (gantry tilt).
    """
    first = planes[0]
    for plane in planes[1:]:
        if np.abs(plane.directions - first.directions).max() > DIRECTION_TOLERANCE:
            raise ValueError(_differ("directions", first, plane))
        if not np.allclose(plane.spacing, first.spacing, rtol=DIRECTION_TOLERANCE):
            raise ValueError(_differ("pixel spacings", first, plane))
    planes = sorted(planes, key=lambda plane: float(plane.position @ first.normal))
    if len(planes) > 1:
        _check_positions(planes, first.normal)
    return planes


def _differ(what: str, first: Plane, other: Plane) -> str:
    return (
        f"its slices have different {what}, for example {first.name} and {other.name}; expected "
        "one volume per series. Export the volumes as separate series"
    )


def _check_positions(planes: Sequence[Plane], normal: NDArray[np.float64]) -> None:
    """Check the positions of slices that are sorted along their normal."""
    positions = np.stack([plane.position for plane in planes])
    heights = positions @ normal
    distances = np.diff(heights)
    typical = float(np.median(distances))
    if (same := np.flatnonzero(distances < SPACING_TOLERANCE * max(typical, 1e-3))).size:
        raise ValueError(_same_position(planes, heights, int(same[0])))
    even = np.linspace(heights[0], heights[-1], len(planes))
    spacing = float(even[1] - even[0])
    if np.abs(heights - even).max() > SPACING_TOLERANCE * spacing:
        place = int(distances.argmax())
        missing = round(distances[place] / typical) - 1
        between = (
            f"{distances[place]:.2f} mm apart between {planes[place].name} and "
            f"{planes[place + 1].name}, but mostly {typical:.2f} mm"
        )
        found = f"{format_count(missing, 'slice')} missing" if missing else "unevenly spaced slices"
        raise ValueError(
            f"it has {found}: {between}. Copy the complete series, or resample it to even spacing"
        )
    sideways = positions - positions[0] - np.outer(heights - heights[0], normal)
    offsets = np.linalg.norm(sideways, axis=1)
    if offsets.max() > max(planes[0].spacing):
        angle = np.degrees(np.arctan2(offsets[-1], heights[-1] - heights[0]))
        raise ValueError(
            f"its slices are displaced sideways by up to {offsets.max():.1f} mm, as with a gantry "
            f"tilt of {angle:.1f}°. Resample it to a rectangular grid, for example with dcm2niix"
        )


def _same_position(planes: Sequence[Plane], heights: NDArray[np.float64], place: int) -> str:
    """Return the message on slices that share a position."""
    counts = Counter(np.round(heights, 3).tolist())
    first, second = planes[place], planes[place + 1]
    varying = format_names(_varying_tags(first, second), 3)
    differ = f", which differ in {varying}" if varying else ""
    if len(set(counts.values())) == 1:
        number = next(iter(counts.values()))
        return (
            f"it holds {number} images at each of {len(counts)} positions{differ}; expected one "
            f"volume per series. Export the {number} volumes as separate series or as NIfTI"
        )
    return (
        f"{first.name} and {second.name} have the same position{differ}; expected one slice per "
        "position. Remove one of them"
    )


def _varying_tags(first: Plane, second: Plane) -> list[str]:
    if first.path == second.path:
        return []
    one, other = (load(plane.path, tags=VOLUME_TAGS) for plane in (first, second))
    return [tag for tag in VOLUME_TAGS if one.get(tag) != other.get(tag)]


def grid_of(planes: Sequence[Plane]) -> Geometry:
    """Return the grid of sorted slices.

    Args:
        planes: Slices as `ordered_planes` returns them.
    """
    first, last = planes[0], planes[-1]
    normal = first.normal
    steps = len(planes) - 1
    distance = float((last.position - first.position) @ normal) / steps if steps else 0.0
    columns = np.stack([normal, first.directions[1], first.directions[0]], axis=1)
    return Geometry(
        spacing=(distance or first.thickness, *first.spacing),
        origin=tuple(float(value) for value in first.position[::-1]),
        direction=tuple(tuple(float(value) for value in row) for row in columns[::-1]),
    )
