"""Draw DICOM segmentations (SEG) and structure sets (RTSTRUCT) on the grid of their image.

Source: DICOM PS3.3 2024, A.51 (Segmentation IOD), C.8.20 (Segmentation modules), C.8.8.5 (Structure
Set Module) and C.8.8.6 (ROI Contour Module).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import MaskArray
from autoseg.core.errors import CaseError
from autoseg.readers.dicom_planes import Plane, planes_of, series_planes
from autoseg.readers.dicom_series import Dataset, load

SLICE_TOLERANCE = 0.3
"""Largest distance of a segmented plane from a slice, as a fraction of the slice spacing."""

PARALLEL_TOLERANCE = 1e-3
"""Largest difference of 1 from the cosine between the normals of segmentation and image."""

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Types of contours that enclose an area."""


@dataclass(frozen=True)
class Segmentation:
    """The classes of a segmentation, and the image that they were drawn on.

    Attributes:
        path: The file.
        names: Names of the segments that have an area.
        series: UIDs of the referenced series; empty if none is referenced.
    """

    path: Path
    names: tuple[str, ...]
    series: frozenset[str]


def read_segmentation(path: Path) -> Segmentation:
    """Read which classes a segmentation has, and which series it references.

    Raises:
        CaseError: If the file cannot be read.
    """
    dataset = _load(path)
    if dataset.get("Modality") == "RTSTRUCT":
        regions = _regions(dataset)
        return Segmentation(path, tuple(regions), frozenset(_contoured_series(dataset)))
    names = tuple(dict.fromkeys(_segment_names(dataset).values()))
    references = dataset.get("ReferencedSeriesSequence") or ()
    series = frozenset(str(one.SeriesInstanceUID) for one in references if one.SeriesInstanceUID)
    return Segmentation(path, names, series)


def draw_segmentations(paths: Sequence[Path], grid: "SliceGrid") -> dict[str, MaskArray]:
    """Return the mask of each segment on the grid of the image, `slices rows columns`.

    Args:
        paths: Segmentations of the image.
        grid: Slices of the image.

    Raises:
        CaseError: If a file cannot be read, or a segment is not on the slices of the image.
    """
    masks: dict[str, MaskArray] = defaultdict(lambda: np.zeros(grid.shape, bool))
    for path in paths:
        dataset = _load(path, pixels=True)
        draw = _draw_contours if dataset.get("Modality") == "RTSTRUCT" else _draw_frames
        try:
            draw(dataset, path, grid, masks)
        except CaseError:
            raise
        except Exception as error:
            raise CaseError(
                f"{path} cannot be read: {error}. Export the segmentation again."
            ) from error
    return dict(masks)


def _load(path: Path, *, pixels: bool = False) -> Dataset:
    try:
        return load(path, pixels=pixels)
    except Exception as error:
        raise CaseError(f"{path} cannot be read: {error}. Copy or export it again.") from error


@dataclass(frozen=True)
class SliceGrid:
    """Slices of a DICOM series, sorted by position.

    Attributes:
        planes: The slices.
        shape: Slices, rows and columns.
    """

    planes: tuple[Plane, ...]
    shape: tuple[int, int, int]

    @classmethod
    def of(cls, image: Path) -> "SliceGrid":
        """Read the slices of the series that a file belongs to.

        Raises:
            CaseError: If they do not form an evenly spaced grid.
        """
        try:
            planes = series_planes(image)
        except Exception as error:
            raise CaseError(f"{image} cannot be read: {error}.") from error
        header = load(image)
        return cls(tuple(planes), (len(planes), int(header.Rows), int(header.Columns)))

    def indices(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return slice, row and column of points (x, y, z) in mm; whole numbers are centres."""
        first, last = self.planes[0], self.planes[-1]
        offsets = points - first.position
        steps = len(self.planes) - 1
        spacing = float((last.position - first.position) @ first.normal) / max(1, steps)
        slices = offsets @ first.normal / (spacing or first.thickness)
        columns, rows = (offsets @ direction for direction in first.directions)
        return np.stack([slices, rows / first.spacing[0], columns / first.spacing[1]], axis=-1)

    def slice_of(self, places: NDArray[np.float64], name: str) -> int | None:
        """Return the slice that planar points lie on; None outside of the image.

        Args:
            places: Slices of the points.
            name: What the points belong to, for the message.

        Raises:
            CaseError: If they lie between slices or are not on one plane.
        """
        number = round(float(places.mean()))
        if np.abs(places - number).max() > SLICE_TOLERANCE:
            raise CaseError(
                f"{name} lies at the slices {places.min():.2f} to {places.max():.2f} of the image, "
                "counted from 0; expected a contour or frame on one slice. Export the segmentation "
                "on the grid of the image."
            )
        return number if 0 <= number < self.shape[0] else None


def _segment_names(dataset: Dataset) -> dict[int, str]:
    """Return the names of segments by their number; the background has no name."""
    entries = dataset.get("SegmentSequence") or ()
    names = {int(entry.SegmentNumber): str(entry.get("SegmentLabel") or "") for entry in entries}
    return {number: name.strip() or f"segment {number}" for number, name in names.items() if number}


def _draw_frames(
    dataset: Dataset, path: Path, grid: SliceGrid, masks: dict[str, MaskArray]
) -> None:
    """Draw the frames of a SEG; values of FRACTIONAL segments count from half of the maximum."""
    names = _segment_names(dataset)
    frames = np.asarray(dataset.pixel_array)
    frames = frames.reshape(-1, *frames.shape[-2:])
    kind = str(dataset.get("SegmentationType"))
    half = float(dataset.get("MaximumFractionalValue") or 1) / 2 if kind == "FRACTIONAL" else 0
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    groups = dataset.PerFrameFunctionalGroupsSequence
    for plane, own, frame in zip(planes_of(path, dataset), groups, frames, strict=True):
        placed = _placed(frame, plane, grid, path)
        if placed is None:
            continue
        number, values = placed
        if kind == "LABELMAP":
            for value in np.intersect1d(np.unique(values), list(names)):
                masks[names[int(value)]][number] |= values == value
            continue
        holder = own if "SegmentIdentificationSequence" in own else shared
        segment = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        masks[names[segment]][number] |= np.asarray(values, float) > half


def _placed(
    frame: NDArray[np.generic], plane: Plane, grid: SliceGrid, path: Path
) -> tuple[int, NDArray[np.generic]] | None:
    """Return the number of the slice of a frame, and its values at the pixels of that slice.

    Raises:
        CaseError: If the frame is not parallel to the slices, or lies between two of them.
    """
    first = grid.planes[0]
    if abs(abs(float(plane.normal @ first.normal)) - 1) > PARALLEL_TOLERANCE:
        raise CaseError(
            f"the frames of {path.name} are not parallel to the slices of its image. Export the "
            "segmentation on the grid of the image."
        )
    place = grid.indices(plane.position[None])[:, 0]
    number = grid.slice_of(place, f"{path.name}, frame {plane.frame + 1},")
    if number is None:
        return None
    _, rows, columns = grid.shape
    row, column = np.mgrid[:rows, :columns]
    across, down = first.directions * np.array(first.spacing)[::-1, None]
    points = grid.planes[number].position + row[..., None] * down + column[..., None] * across
    offsets = points - plane.position
    found_columns, found_rows = (
        np.rint(offsets @ direction / step).astype(int)
        for direction, step in zip(plane.directions, plane.spacing[::-1], strict=True)
    )
    inside = (found_rows >= 0) & (found_columns >= 0)
    inside &= (found_rows < frame.shape[0]) & (found_columns < frame.shape[1])
    values = np.zeros((rows, columns), frame.dtype)
    values[inside] = frame[found_rows[inside], found_columns[inside]]
    return number, values


def _regions(dataset: Dataset) -> dict[str, list[NDArray[np.float64]]]:
    """Return the closed contours (x, y, z) of each region, mm, by its name."""
    names = {
        int(entry.ROINumber): str(entry.get("ROIName") or f"region {entry.ROINumber}").strip()
        for entry in dataset.get("StructureSetROISequence") or ()
    }
    regions: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for entry in dataset.get("ROIContourSequence") or ():
        name = names.get(int(entry.ReferencedROINumber), f"region {entry.ReferencedROINumber}")
        for contour in entry.get("ContourSequence") or ():
            points = np.array(contour.get("ContourData") or (), float).reshape(-1, 3)
            if contour.get("ContourGeometricType") in CLOSED and len(points) > 2:
                regions[name].append(points)
    return dict(regions)


def _contoured_series(dataset: Dataset) -> set[str]:
    return {
        str(series.SeriesInstanceUID)
        for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ()
        for study in frame.get("RTReferencedStudySequence") or ()
        for series in study.get("RTReferencedSeriesSequence") or ()
        if series.get("SeriesInstanceUID")
    }


def _draw_contours(
    dataset: Dataset, path: Path, grid: SliceGrid, masks: dict[str, MaskArray]
) -> None:
    """Fill the contours of a structure set; a contour within another one is a hole.

    A pixel belongs to a contour if its centre does.
    """
    from skimage.draw import polygon

    for name, contours in _regions(dataset).items():
        known: set[bytes] = set()
        for points in contours:
            places = grid.indices(points)
            number = grid.slice_of(places[:, 0], f"a contour of {name} in {path.name}")
            if number is None or points.tobytes() in known:
                continue
            known.add(points.tobytes())
            rows, columns = polygon(places[:, 1], places[:, 2], grid.shape[1:])
            masks[name][number, rows, columns] ^= True
