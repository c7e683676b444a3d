"""Position and extent of the classes in an image."""

from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.preprocessing.crop import bounding_box, crop

AxisCounts = Float[np.ndarray, "_positions classes"]

SLAB_VOXELS = 2**18
"""Voxels counted at a time, to limit memory: `numpy.bincount` converts each to 8 bytes."""

OUTER_SHARE = 0.025
"""Fraction of a class's voxels that its extent excludes at each end of an axis, so that it is
robust against a few stray voxels."""


@dataclass(frozen=True)
class ClassPosition:
    """Position of a class in an image.

    Attributes:
        centre: Centre of mass along each axis as a fraction of the image size: 0 is the edge before
            the first voxel, 1 the edge after the last.
        extent: Fraction of the image inside the box that holds 95 % of the class along each axis,
            scaled so that a class that is everywhere has an extent of 1.
    """

    centre: tuple[float, ...]
    extent: float


def class_positions(classes: LabelArray, num_classes: int) -> tuple[ClassPosition | None, ...]:
    """Compute the position of each class; None for absent classes.

    Voxels are counted in slabs within the foreground's bounding box, so that memory use does not
    grow with the image.

    Args:
        classes: Class indices.
        num_classes: Number of classes, including background.
    """
    bounds = bounding_box(classes)
    inside = np.ascontiguousarray(crop(classes, bounds), dtype=classes.dtype)
    axes = []
    for counted, (start, stop), size in zip(
        _counts_per_axis(inside, num_classes), bounds, classes.shape, strict=True
    ):
        counts = np.zeros((size, num_classes))
        counts[start:stop] = counted
        counts[:, 0] = classes.size / size - counts[:, 1:].sum(axis=1)
        axes.append(counts)
    present = axes[0].sum(axis=0) > 0
    return tuple(
        _position([counts[:, index] for counts in axes]) if present[index] else None
        for index in range(num_classes)
    )


def _position(counts: list[NDArray[np.float64]]) -> ClassPosition:
    extent = prod(_extent(axis) for axis in counts)
    return ClassPosition(centre=tuple(map(_centre, counts)), extent=round(extent, 5))


def _counts_per_axis(classes: NDArray[np.integer], num_classes: int) -> list[AxisCounts]:
    """Count the voxels of each class at each position along each axis."""
    planes = classes[:, None] if classes.ndim == 2 else classes  # of a picture, a plane is a row
    counts = [np.zeros((size, num_classes)) for size in planes.shape]
    length = max(1, SLAB_VOXELS // planes[0].size)
    for start in range(0, len(planes), length):
        slab = planes[start : start + length]
        lines = slab.reshape(-1, slab.shape[2])
        rows = _counts_per_row(lines, num_classes).reshape(*slab.shape[:2], num_classes)
        counts[0][start : start + length] = rows.sum(axis=1)
        counts[1] += rows.sum(axis=0)
        counts[2] += _counts_per_row(lines.T, num_classes)
    return [counts[0], *counts[1:][1 - classes.ndim :]]


def _counts_per_row(plane: NDArray[np.integer], num_classes: int) -> AxisCounts:
    rows = plane.shape[0]
    keys = plane.astype(np.intp) + num_classes * np.arange(rows, dtype=np.intp)[:, None]
    counts = np.bincount(keys.ravel(order="K"), minlength=rows * num_classes)
    return counts.reshape(rows, num_classes).astype(np.float64)


def _centre(counts: NDArray[np.float64]) -> float:
    positions = (np.arange(counts.size) + 0.5) / counts.size
    return float(np.round((counts * positions).sum() / counts.sum(), 5))


def _extent(counts: NDArray[np.float64]) -> float:
    below = counts.cumsum() / counts.sum()
    first, last = np.searchsorted(below, (OUTER_SHARE, 1 - OUTER_SHARE))
    return min(1.0, float((last + 1 - first) / counts.size) / (1 - 2 * OUTER_SHARE))
