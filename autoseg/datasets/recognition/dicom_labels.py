"""Draw DICOM segmentations (SEG) and structure sets (RTSTRUCT) on the grid of their image.

Source: DICOM PS3.3 2024, A.51 (Segmentation IOD), C.8.20 (Segmentation modules), C.8.8.5 (Structure
Set Module) and C.8.8.6 (ROI Contour Module).
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.core.errors import CaseError, MissingPackage
from autoseg.core.formatting import format_names
from autoseg.datasets.recognition.dicom_grid import SliceGrid
from autoseg.readers.dicom_planes import Plane, planes_of
from autoseg.readers.dicom_series import Dataset, load

LEAST_SLICES = 3
"""Least number of slices from which a structure is found to leave out every second one."""

CLOSED, CLOSED_XOR = "CLOSED_PLANAR", "CLOSEDPLANAR_XOR"
"""Types of contours that enclose an area; of the second type, all areas are combined by XOR."""

Drawing = tuple[str, int, MaskArray]
"""Name of a class, number of a slice, and its pixels there."""


@dataclass(frozen=True)
class Segmentation:
    """The classes of a segmentation, and the image that they were drawn on.

    Attributes:
        path: The file.
        names: Names of the segments that have an area, without the background.
        series: UIDs of the referenced series; empty if none is referenced.
        frame_of_reference: UID of the coordinate system; empty if there is none.
    """

    path: Path
    names: tuple[str, ...]
    series: frozenset[str]
    frame_of_reference: str


def read_segmentation(path: Path) -> Segmentation:
    """Read which classes a segmentation has, and which series it references.

    Raises:
        CaseError: If the file cannot be read.
    """
    try:
        return _segmentation(path, load(path))
    except MissingPackage:
        raise
    except Exception as error:
        raise CaseError(f"{path} cannot be read: {error}. Copy or export it again.") from error


def _segmentation(path: Path, dataset: Dataset) -> Segmentation:
    frames = dataset.get("ReferencedFrameOfReferenceSequence") or ()
    if dataset.get("Modality") == "RTSTRUCT":
        names = [name for name, _ in _regions(dataset)]
        references = [series for frame in frames for series in _series_of(frame)]
    else:
        names = list(_segment_names(dataset).values())
        references = list(dataset.get("ReferencedSeriesSequence") or ())
    nested = next((frame.get("FrameOfReferenceUID") for frame in frames), None)
    return Segmentation(
        path,
        tuple(name for name in dict.fromkeys(names) if name.lower() != "background"),
        frozenset(str(uid) for one in references if (uid := one.get("SeriesInstanceUID"))),
        str(dataset.get("FrameOfReferenceUID") or nested or ""),
    )


def draw_segmentations(
    paths: Sequence[Path], grid: SliceGrid, values: Mapping[str, int]
) -> LabelArray:
    """Return the label map of segmentations; of overlapping classes, the smaller one is kept.

    Args:
        paths: Segmentations of the image.
        grid: Slices of the image.
        values: Value of each class; others are left out.

    Raises:
        CaseError: If a file cannot be read, or nothing in it is on the slices of the image, or a
            class leaves out every second slice.
    """
    sizes: Counter[str] = Counter()
    slices: dict[str, set[int]] = defaultdict(set)
    for path in paths:
        before = sizes.total()
        for name, number, mask in _drawings(path, grid):
            sizes[name] += int(np.count_nonzero(mask))
            slices[name].add(number)
        if sizes.total() == before:
            raise CaseError(
                f"nothing in {path.name} is on the slices of its image. Check that it was made for "
                "this series, and export it again."
            )
    _check_slices({name: slices[name] for name in slices if name in values})
    order = sorted(values, key=lambda name: (sizes[name], name), reverse=True)
    ranks = np.zeros(max(values.values(), default=0) + 1, np.int64)
    for rank, name in enumerate(order, start=1):
        ranks[values[name]] = rank if values[name] else 0
    labels: LabelArray = np.zeros(grid.shape, np.min_scalar_type(len(ranks)))
    for path in paths:
        for name, number, mask in _drawings(path, grid):
            if value := values.get(name, 0):
                plane = labels[number]
                plane[mask & (ranks[plane] <= ranks[value])] = value
    return labels


def _check_slices(slices: Mapping[str, set[int]]) -> None:
    """Raise a CaseError if a class is drawn on every second slice, or on fewer."""
    for name, numbers in slices.items():
        gaps = np.diff(sorted(numbers))
        if len(numbers) >= LEAST_SLICES and gaps.min() > 1:
            raise CaseError(
                f"{name} is drawn on one of {gaps.min()} slices of the image only, so that the "
                "slices between would count as background. Interpolate it, or leave it out with "
                "--label-map."
            )


def _drawings(path: Path, grid: SliceGrid) -> Iterator[Drawing]:
    """Yield the parts of a segmentation that are on slices of the image.

    Raises:
        CaseError: If the file cannot be read.
    """
    try:
        dataset = load(path)
        draw = _contours if dataset.get("Modality") == "RTSTRUCT" else _frames
        yield from draw(dataset, path, grid)
    except (CaseError, MissingPackage):
        raise
    except Exception as error:
        raise CaseError(f"{path} cannot be read: {error}. Export it again.") from error


def _segment_names(dataset: Dataset) -> dict[int, str]:
    """Return the names of segments by their number; 0 is the background of label maps."""
    entries = dataset.get("SegmentSequence") or ()
    names = {int(entry.SegmentNumber): str(entry.get("SegmentLabel") or "") for entry in entries}
    return {number: name.strip() or f"segment {number}" for number, name in names.items() if number}


def _frames(dataset: Dataset, path: Path, grid: SliceGrid) -> Iterator[Drawing]:
    """Yield the frames of a SEG; values of FRACTIONAL segments count from half of the maximum."""
    from pydicom.pixels import iter_pixels

    names = _segment_names(dataset)
    kind = str(dataset.get("SegmentationType"))
    half = float(dataset.get("MaximumFractionalValue") or 1) / 2 if kind == "FRACTIONAL" else 0.0
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    groups = dataset.PerFrameFunctionalGroupsSequence
    planes = planes_of(path, dataset)
    for plane, own, frame in zip(planes, groups, iter_pixels(path), strict=True):
        placed = _placed(np.asarray(frame), plane, grid)
        if placed is None:
            continue
        number, values = placed
        if kind == "LABELMAP":
            for value in np.intersect1d(np.unique(values), list(names)):
                yield names[int(value)], number, values == value
            continue
        holder = own if "SegmentIdentificationSequence" in own else shared
        segment = int(holder.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        if segment not in names:
            raise CaseError(
                f"{path.name} has frames of the segment {segment}, which its header does not "
                "describe. Export it again."
            )
        yield names[segment], number, np.asarray(values, float) > half


def _placed(
    frame: NDArray[np.generic], plane: Plane, grid: SliceGrid
) -> tuple[int, NDArray[np.generic]] | None:
    """Return the slice of a frame, and its values at the pixels there; None outside of the image.

    Raises:
        CaseError: If the frame is not on one slice.
    """
    across, down = plane.directions * np.array(plane.spacing)[::-1, None]
    rows, columns = frame.shape
    corners = [
        plane.position + row * down + column * across
        for row in (0, rows - 1)
        for column in (0, columns - 1)
    ]
    number = grid.slice_of(np.array(corners), plane.name)
    if number is None:
        return None
    first = grid.planes[0]
    start = grid.indices(plane.position[None])[0, 1:]
    is_aligned = np.allclose(plane.directions, first.directions, atol=1e-4)
    if is_aligned and np.allclose(plane.spacing, first.spacing, rtol=1e-4):
        return number, _shifted(frame, np.rint(start).astype(int), grid.shape[1:])
    return number, _nearest(frame, plane, grid, number)


def _shifted(
    frame: NDArray[np.generic], start: NDArray[np.int_], shape: tuple[int, ...]
) -> NDArray[np.generic]:
    """Return a frame as a part of a larger one, from the given row and column on."""
    if tuple(start) == (0, 0) and frame.shape == shape:
        return frame
    values = np.zeros(shape, frame.dtype)
    low = np.maximum(start, 0)
    high = np.minimum(start + frame.shape, shape)
    if (high > low).all():
        inner = frame[
            low[0] - start[0] : high[0] - start[0], low[1] - start[1] : high[1] - start[1]
        ]
        values[low[0] : high[0], low[1] : high[1]] = inner
    return values


def _nearest(
    frame: NDArray[np.generic], plane: Plane, grid: SliceGrid, number: int
) -> NDArray[np.generic]:
    """Return the values of a frame that are nearest to the pixels of a slice."""
    first = grid.planes[0]
    row, column = np.mgrid[: grid.shape[1], : grid.shape[2]]
    across, down = first.directions * np.array(first.spacing)[::-1, None]
    points = grid.planes[number].position + row[..., None] * down + column[..., None] * across
    offsets = points - plane.position
    columns, rows = (
        np.rint(offsets @ direction / step).astype(int)
        for direction, step in zip(plane.directions, plane.spacing[::-1], strict=True)
    )
    inside = (rows >= 0) & (columns >= 0) & (rows < frame.shape[0]) & (columns < frame.shape[1])
    values = np.zeros(grid.shape[1:], frame.dtype)
    values[inside] = frame[rows[inside], columns[inside]]
    return values


Contour = tuple[NDArray[np.float64], str]
"""Points (x, y, z) in mm, and the type of the contour."""


def _regions(dataset: Dataset, systems: Collection[str] = ()) -> list[tuple[str, list[Contour]]]:
    """Return the name and the closed contours of each region.

    Args:
        dataset: The structure set.
        systems: UIDs of coordinate systems; with any, regions of another one are left out.
    """
    entries = {int(e.ROINumber): e for e in dataset.get("StructureSetROISequence") or ()}
    regions = []
    for entry in dataset.get("ROIContourSequence") or ():
        number = int(entry.ReferencedROINumber)
        own = entries.get(number) or {}
        frame = str(own.get("ReferencedFrameOfReferenceUID") or "")
        contours = [
            (np.array(contour.ContourData, float).reshape(-1, 3), str(contour.ContourGeometricType))
            for contour in entry.get("ContourSequence") or ()
            if contour.get("ContourGeometricType") in (CLOSED, CLOSED_XOR)
            and len(contour.get("ContourData") or ()) > 6
        ]
        if contours and (not systems or frame in ("", *systems)):
            regions.append((str(own.get("ROIName") or f"region {number}").strip(), contours))
    return regions


def _systems_of(dataset: Dataset, grid: SliceGrid) -> set[str]:
    """Return the coordinate systems of a structure set that it gives for the series of an image.

    Without any, it is that of the image.
    """
    stated = {
        str(frame.FrameOfReferenceUID)
        for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ()
        if frame.get("FrameOfReferenceUID")
        and any(one.get("SeriesInstanceUID") == grid.series for one in _series_of(frame))
    }
    return stated or {grid.frame_of_reference} - {""}


def _series_of(frame: Dataset) -> list[Dataset]:
    """Return the series that a structure set references within a coordinate system."""
    studies = frame.get("RTReferencedStudySequence") or ()
    return [series for study in studies for series in study.get("RTReferencedSeriesSequence") or ()]


def _contours(dataset: Dataset, path: Path, grid: SliceGrid) -> Iterator[Drawing]:
    """Yield the regions of a structure set, slice by slice."""
    regions = _regions(dataset, _systems_of(dataset, grid))
    if not regions:
        names = [name for name, _ in _regions(dataset)]
        raise CaseError(
            f"the regions of {path.name} ({format_names(names)}) have another coordinate system "
            "than the image. Export the structure set for this series."
        )
    for name, contours in regions:
        by_slice: dict[int, list[Contour]] = defaultdict(list)
        for points, kind in contours:
            number = grid.slice_of(points, f"a contour of {name} in {path.name}")
            if number is not None:
                by_slice[number].append((grid.indices(points)[:, 1:], kind))
        for number, own in by_slice.items():
            yield name, number, _filled(own, grid.shape[1:])


def _filled(contours: Sequence[Contour], shape: tuple[int, ...]) -> MaskArray:
    """Return the pixels whose centres are in the contours (rows, columns) of one slice.

    A contour within the area of larger ones is a hole; equal contours count once.
    """
    from skimage.draw import polygon2mask

    areas = [(polygon2mask(shape, points), kind) for points, kind in contours]
    filled: MaskArray = np.zeros(shape, bool)
    known: list[MaskArray] = []
    for area, kind in sorted(areas, key=lambda pair: -int(np.count_nonzero(pair[0]))):
        if any(np.array_equal(area, other) for other in known):
            continue
        known.append(area)
        is_hole = kind == CLOSED_XOR or not (area & ~filled).any()
        filled = filled ^ area if is_hole else filled | area
    return filled
