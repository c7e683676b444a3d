"""Find exactly how far points are from the nearest target, where both are masks.

The square of a distance is a sum over the axes, so that these can be searched one after the other.
Along the first, one pass over the planes counts the steps to the nearest target of each column.
The rest is done in each plane for itself: along its rows, for all columns at once; along the last
axis, for the points alone. Both look only so far as the nearest target probably is, by the plane
before; points whose targets might be further away look again, further.

So the work hardly grows with the distance, as that of search trees does, and unlike a distance
transform it makes use of it that points are few and most targets near.

Source: the minimum along one axis after the other is Saito & Toriwaki, "New algorithms for
    Euclidean distance transformation of an n-dimensional digitized picture", Pattern Recognition 27
    (1994).
"""

from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, UInt

from autoseg.core.arrays import MaskArray

Distances = Float[np.ndarray, " voxels"]
Squares = Float[np.ndarray, "rows columns"]
"""Squared distances, mm²; infinite where there is no target."""

SomeSquares = Float[np.ndarray, "some_rows columns"]
Places = Int[np.ndarray, "2 voxels"]
"""Row and column of each point; those outside the plane's targets may be negative or too large."""

FIRST_REACH = 2
"""How far the first plane looks, and every other at least: voxels of the coarser axis."""

TYPICAL_QUANTILE = 0.8
REACH_FACTOR = 1.5
"""How far a plane looks: this much further than most points of the plane before had to."""

GROWTH = 2.5
"""What the reach is multiplied by for the points that have to look again."""

BLOCK_VOXELS = 2**15
"""Of a plane, worked on at once: so that they and what is computed of them fit into the cache."""


def nearest_distances(
    points: MaskArray, targets: MaskArray, spacing: tuple[float, float, float]
) -> Distances:
    """Return the distance of every point to the nearest target, mm, in the points' order.

    Args:
        points: Three axes; the work is least if the first has the smallest voxels.
        targets: Same shape, not empty.
        spacing: Voxel size along each axis, mm.
    """
    outline = np.asarray(targets.any(axis=0))
    rows, columns = (_extent(np.asarray(outline.any(axis=axis))) for axis in (1, 0))
    steps = _steps(targets[:, rows, columns])
    squares = np.square(np.arange(len(targets) + 1) * float(spacing[0]))
    squares[-1] = np.inf
    found = [np.zeros(0)]
    reach = least = FIRST_REACH * max(spacing[1:])
    for here, steps_here in zip(points, steps, strict=True):
        places = np.argwhere(here).T - [[rows.start], [columns.start]]
        if places.size:
            found.append(_nearest(places, squares[steps_here], spacing[1:], reach))
            reach = max(least, REACH_FACTOR * _typical(found[-1]) ** 0.5)
    return np.sqrt(np.concatenate(found))


def _typical(values: Distances) -> float:
    """Return a value that most do not exceed."""
    place = int(TYPICAL_QUANTILE * len(values))
    return float(np.partition(values, place)[place])


def _extent(hits: MaskArray) -> slice:
    """Return the range from the first hit to the last."""
    places = np.flatnonzero(hits)
    return slice(int(places[0]), int(places[-1]) + 1)


def _steps(targets: MaskArray) -> UInt[np.ndarray, "planes rows columns"]:
    """Return how many planes away the nearest target of the same column is.

    Columns without a target have the number of planes, which is further than any.
    """
    none = len(targets)
    steps = (~targets).astype(np.min_scalar_type(none + 1))
    steps *= none
    for order in (steps, steps[::-1]):
        for before, here in pairwise(order):
            np.minimum(here, before + 1, out=here)
    return steps


def _nearest(
    places: Places, plane: Squares, spacing: tuple[float, float], reach: float
) -> Distances:
    """Return the squared distance of each point of a plane to the nearest target, mm².

    Args:
        places: Of the points.
        plane: Squared distance to the nearest target straight across the planes.
        spacing: Along the plane's axes, mm.
        reach: How far to look at first, mm. Any gives the same result.
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


def _within(
    reach: float, places: Places, plane: Squares, spacing: tuple[float, float]
) -> Distances:
    """Return the squared distance to the nearest target within reach along both axes, mm²."""
    rows, columns = places
    width = int(reach / spacing[1])
    top, low, high = int(rows.min()), int(columns.min()) - width, int(columns.max()) + width + 1
    start, stop = max(low, 0), min(high, plane.shape[1])
    if start >= stop:
        return np.full(len(columns), np.inf)
    if stop - start <= 2 * width:
        low, high = start, stop  # fewer columns have targets than a point could look at
    seen = np.full((int(rows.max()) - top + 1, high - low), np.inf)
    _look_along_rows(
        seen[:, start - low : stop - low],
        plane[:, start:stop],
        first=top,
        spacing=spacing[0],
        width=int(reach / spacing[0]),
    )
    places = np.stack([rows - top, columns - low])
    return _nearest_along_columns(seen, places, spacing[1], width)


def _look_along_rows(
    seen: SomeSquares, plane: Squares, *, first: int, spacing: float, width: int
) -> None:
    """Fill in the least squared distance of each voxel of some rows to targets of the same column.

    Args:
        seen: To be filled in, mm²; infinite now.
        plane: Squared distance to the nearest target straight across the planes.
        first: Row of the plane that the first of the rows is; they may lie outside.
        spacing: Between rows, mm.
        width: How many rows away the targets may be.
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
    """Return the least squared distance of each point, whatever the column of the target, mm².

    Args:
        seen: Squared distances to targets of the same column; so many columns that each point has
            `width` on either side, or fewer than that in all.
        places: Of the points in there.
        spacing: Between columns, mm.
        width: How many columns away the targets may be.
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
