"""Where the classes of a case lie, so that the planner can see which side is which."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray
from autoseg.preprocessing.crop import bounding_box, crop

AxisCounts = Float[np.ndarray, "_positions classes"]

Centre = tuple[float, ...]

SLAB_VOXELS = 2**18
"""Voxels that are counted at a time: `numpy.bincount` makes 8 bytes of each."""


def class_centres(classes: LabelArray, num_classes: int) -> tuple[Centre | None, ...]:
    """Return the centre of mass of each class as a share of the image's size, along each axis.

    0 is the edge before the first voxel, 1 the edge behind the last; None where a class is absent.
    Slab by slab and only within the foreground's bounding box, so that memory does not grow with
    the image.

    Args:
        classes: Class indices.
        num_classes: Classes, background included.
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
        tuple(_centre(counts[:, index]) for counts in axes) if present[index] else None
        for index in range(num_classes)
    )


def _counts_per_axis(classes: NDArray[np.integer], num_classes: int) -> list[AxisCounts]:
    """Return the voxels of each class at each position of each axis."""
    planes = classes[None] if classes.ndim == 2 else classes
    counts = [np.zeros((size, num_classes)) for size in planes.shape]
    length = max(1, SLAB_VOXELS // planes[0].size)
    for start in range(0, len(planes), length):
        slab = planes[start : start + length]
        lines = slab.reshape(-1, slab.shape[2])
        rows = _counts_per_row(lines, num_classes).reshape(*slab.shape[:2], num_classes)
        counts[0][start : start + length] = rows.sum(axis=1)
        counts[1] += rows.sum(axis=0)
        counts[2] += _counts_per_row(lines.T, num_classes)
    return counts[-classes.ndim :]


def _counts_per_row(plane: NDArray[np.integer], num_classes: int) -> AxisCounts:
    rows = plane.shape[0]
    keys = plane.astype(np.intp) + num_classes * np.arange(rows, dtype=np.intp)[:, None]
    counts = np.bincount(keys.ravel(order="K"), minlength=rows * num_classes)
    return counts.reshape(rows, num_classes).astype(np.float64)


def _centre(counts: NDArray[np.float64]) -> float:
    positions = (np.arange(counts.size) + 0.5) / counts.size
    return float(np.round((counts * positions).sum() / counts.sum(), 5))
