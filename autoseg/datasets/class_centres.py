"""Where the classes of a case lie, so that the planner can see which side is which."""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from autoseg.core.arrays import LabelArray

PlaneCounts = Float[np.ndarray, "planes classes"]

Centre = tuple[float, ...]


def class_centres(classes: LabelArray, num_classes: int) -> tuple[Centre | None, ...]:
    """Return the centre of mass of each class as a share of the image's size, along each axis.

    0 is the edge before the first voxel, 1 the edge behind the last; None where a class is absent.
    Plane by plane, so that memory does not grow with the image.

    Args:
        classes: Class indices.
        num_classes: Classes, background included.
    """
    planes = classes[None] if classes.ndim == 2 else classes
    counts = [np.zeros((size, num_classes)) for size in planes.shape]
    for index, plane in enumerate(planes):
        rows = _counts_per_row(plane, num_classes)
        counts[1] += rows
        counts[2] += _counts_per_row(plane.T, num_classes)
        counts[0][index] = rows.sum(axis=0)
    axes = counts[-classes.ndim :]
    present = axes[0].sum(axis=0) > 0
    return tuple(
        tuple(_centre(axis[:, index]) for axis in axes) if present[index] else None
        for index in range(num_classes)
    )


def _counts_per_row(plane: NDArray[np.integer], num_classes: int) -> PlaneCounts:
    rows = plane.shape[0]
    keys = plane.astype(np.intp) + num_classes * np.arange(rows, dtype=np.intp)[:, None]
    counts = np.bincount(keys.ravel(), minlength=rows * num_classes)
    return counts.reshape(rows, num_classes).astype(np.float64)


def _centre(counts: NDArray[np.float64]) -> float:
    positions = (np.arange(counts.size) + 0.5) / counts.size
    return float(np.round((counts * positions).sum() / counts.sum(), 5))
