"""Exact Euclidean distances from the points of one mask to the nearest target of another.

A squared distance is a sum over the axes, so the axes can be searched one after the other. Along
the first axis, one pass over the planes counts the steps to the nearest target of each column. The
other two axes are searched within each plane: along the rows for all columns at once, and along
the columns for the points only. Both searches are limited to a reach that is estimated from the
previous plane. Points whose nearest target may be farther away are searched again with a larger
reach. A large plane, such as that of a picture, is searched in bands of rows.

The cost hardly grows with the distance, unlike that of search trees. Unlike a distance transform,
the search exploits that there are few points and that most targets are near.

Source: the minimum along one axis after the other is Saito & Toriwaki, "New algorithms for
    Euclidean distance transformation of an n-dimensional digitized picture", Pattern Recognition 27
    (1994).
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, UInt

from autoseg.core.arrays import MaskArray

Distances = Float[np.ndarray, " voxels"]
Squares = Float[np.ndarray, "rows columns"]
"""Squared distances, mm²; infinite where there is no target."""

SomeSquares = Float[np.ndarray, "some_rows columns"]
Places = Int[np.ndarray, "2 voxels"]
"""Row and column of each point in the targets' bounding box; points outside have other indices."""

FIRST_REACH = 2
"""Reach in the first plane and smallest reach in all others, in voxels of the coarser axis."""

TYPICAL_QUANTILE = 0.8
REACH_FACTOR = 1.5
"""The reach in a plane is this factor times the typical distance in the previous plane."""

GROWTH = 2.5
"""Factor by which the reach grows for points that are searched again."""

BAND_VOXELS = 2**22
"""Voxels of a plane whose points are searched at once, since each takes 16 bytes or more."""

BLOCK_VOXELS = 2**15
"""Voxels of a plane that are processed at once, so that intermediate arrays fit into the cache."""


def nearest_distances(
    points: MaskArray, targets: MaskArray, spacing: tuple[float, float, float]
) -> Distances:
    """Compute the distance of every point to the nearest target.

    Args:
        points: Mask of the points, three axes; fastest if the first axis has the smallest spacing.
        targets: Mask of the targets, same shape, not empty.
        spacing: Voxel size along each axis, mm.

    Returns:
        One distance per point, mm, in array order.
    """
    outline = np.asarray(targets.any(axis=0))
    rows, columns = (_extent(np.asarray(outline.any(axis=axis))) for axis in (1, 0))
    steps = _steps(targets[:, rows, columns])
    squares = np.square(np.arange(len(targets) + 1) * float(spacing[0]))
    squares[-1] = np.inf
    found = [np.zeros(0)]
    reach = least = FIRST_REACH * max(spacing[1:])
    length = max(1, BAND_VOXELS // points.shape[2])
    for here, steps_here in zip(points, steps, strict=True):
        for start in range(0, len(here), length):
            places = np.argwhere(here[start : start + length]).T
            if places.size:
                places += [[start - rows.start], [-columns.start]]
                found.append(_nearest(places, Plane(steps_here, squares), spacing[1:], reach))
                reach = max(least, REACH_FACTOR * _typical(found[-1]) ** 0.5)
    return np.sqrt(np.concatenate(found))


@dataclass(frozen=True)
class Plane:
    """Squared distance of each voxel of a plane to the nearest target in its column across planes.

    Attributes:
        steps: Number of planes to that target.
        squares: Squared distance for each number of planes, mm².
    """

    steps: UInt[np.ndarray, "rows columns"]
    squares: Float[np.ndarray, " numbers"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.steps.shape

    def part(self, rows: slice, columns: slice) -> Squares:
        """Return the squared distances in a range of rows and columns."""
        part: Squares = self.squares[self.steps[rows, columns]]
        return part


def _typical(values: Distances) -> float:
    """Return the value at `TYPICAL_QUANTILE`."""
    place = int(TYPICAL_QUANTILE * len(values))
    return float(np.partition(values, place)[place])


def _extent(hits: MaskArray) -> slice:
    """Return the range from the first True to the last."""
    places = np.flatnonzero(hits)
    return slice(int(places[0]), int(places[-1]) + 1)


def _steps(targets: MaskArray) -> UInt[np.ndarray, "planes rows columns"]:
    """Count the planes between each voxel and the nearest target in its column.

    Columns without a target get the number of planes, which exceeds every valid count.
    """
    none = len(targets)
    steps = (~targets).astype(np.min_scalar_type(none + 1))
    steps *= none
    for order in (steps, steps[::-1]):
        for before, here in pairwise(order):
            np.minimum(here, before + 1, out=here)
    return steps


def _nearest(places: Places, plane: Plane, spacing: tuple[float, float], reach: float) -> Distances:
    """Compute the squared distance of each point of a plane to the nearest target, mm².

    Args:
        places: Positions of the points.
        plane: The plane.
        spacing: Voxel size along the plane's axes, mm.
        reach: Initial reach, mm; it affects only the speed.
    """
    nearest = np.full(places.shape[1], np.inf)
    left = np.arange(places.shape[1])
    ends = np.asarray(plane.shape)[:, None] - places
    furthest = float((np.maximum(places, ends).max(axis=1) + 1) @ np.asarray(spacing))
    while len(left):
        nearest[left] = _within(reach, places[:, left], plane, spacing)
        left = left[nearest[left] > reach**2] if reach < furthest else left[:0]
        reach *= GROWTH
    return nearest


def _within(reach: float, places: Places, plane: Plane, spacing: tuple[float, float]) -> Distances:
    """Compute the squared distance to the nearest target within reach along both axes, mm²."""
    rows, columns = places
    width = int(reach / spacing[1])
    top, low, high = int(rows.min()), int(columns.min()) - width, int(columns.max()) + width + 1
    start, stop = max(low, 0), min(high, plane.shape[1])
    if start >= stop:
        return np.full(len(columns), np.inf)
    if stop - start <= 2 * width:
        low, high = start, stop  # fewer columns than one point's reach: use all of them
    seen = np.full((int(rows.max()) - top + 1, high - low), np.inf)
    height = int(reach / spacing[0])
    above, below = max(top - height, 0), min(top + len(seen) + height, plane.shape[0])
    if above >= below:
        return np.full(len(columns), np.inf)
    _look_along_rows(
        seen[:, start - low : stop - low],
        plane.part(slice(above, below), slice(start, stop)),
        first=top - above,
        spacing=spacing[0],
        width=height,
    )
    places = np.stack([rows - top, columns - low])
    return _nearest_along_columns(seen, places, spacing[1], width)


def _look_along_rows(
    seen: SomeSquares, plane: Squares, *, first: int, spacing: float, width: int
) -> None:
    """Minimise squared distances over the targets in the same column of the plane, in place.

    Args:
        seen: Output, mm²; initialised to infinity.
        plane: Squared distance of each voxel to the nearest target in its column across planes.
        first: Index in the plane of the output's first row; output rows may lie outside the plane.
        spacing: Distance between rows, mm.
        width: Largest distance to a target, in rows.
    """
    block = max(1, BLOCK_VOXELS // plane.shape[1])
    moved = np.empty((block, plane.shape[1]))
    end, last = first + len(seen), len(plane) - 1
    for start in range(first, end, block):
        stop = min(start + block, end)
        for shift in range(max(-width, 1 - stop), min(width, last - start) + 1):
            low, high = max(start + shift, 0), min(stop + shift, len(plane))
            here, there = seen[low - shift - first : high - shift - first], moved[: high - low]
            np.add(plane[low:high], (shift * spacing) ** 2, out=there)
            np.minimum(here, there, out=here)


def _nearest_along_columns(
    seen: SomeSquares, places: Places, spacing: float, width: int
) -> Distances:
    """Minimise the squared distances of the points over all columns within reach, mm².

    Args:
        seen: Squared distances to targets in the same column. Either each point has `width` columns
            on both sides, or there are at most 2 · `width` columns in total.
        places: Positions of the points in `seen`.
        spacing: Distance between columns, mm.
        width: Largest distance to a target, in columns.
    """
    rows, columns = places
    starts, centre = rows * seen.shape[1], columns
    if seen.shape[1] > 2 * width:
        starts, centre = starts + columns - width, width
    nearest = np.full(len(columns), np.inf)
    for step in range(min(seen.shape[1], 2 * width + 1)):
        away = np.square((step - centre) * spacing)
        np.minimum(nearest, seen.take(starts + step) + away, out=nearest)
    return nearest
