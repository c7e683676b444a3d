"""Surfaces of masks and the distances between them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autoseg.core.arrays import MaskArray
from autoseg.evaluation.nearest import Distances, nearest_distances


class SurfaceDistances(NamedTuple):
    """Distances of surface voxels to the surface of the other mask, mm.

    Attributes:
        from_prediction: One distance per surface voxel of the prediction.
        from_reference: One distance per surface voxel of the reference.
    """

    from_prediction: Distances
    from_reference: Distances


def surface(mask: MaskArray) -> MaskArray:
    """Return the voxels of a mask that share a face with the outside or with the image border."""
    inside = mask.copy()
    for axis in range(mask.ndim):
        along, of_mask = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        along[1:] &= of_mask[:-1]
        along[:-1] &= of_mask[1:]
        along[0] = along[-1] = False
    return np.asarray(mask & ~inside)


def surface_distances(
    prediction: MaskArray, reference: MaskArray, spacing: Sequence[float]
) -> SurfaceDistances:
    """Compute the distances between the surfaces of two masks.

    Args:
        prediction: Predicted mask, 2-D or 3-D, not empty.
        reference: Reference mask, same shape, not empty.
        spacing: Voxel size along each axis, mm.
    """
    surfaces = surface(prediction), surface(reference)
    if prediction.ndim == 2:  # treated as a volume of one plane
        predicted, expected = (mask[None] for mask in surfaces)
        depth, height, width = 1.0, float(spacing[0]), float(spacing[1])
    else:
        order = sorted(
            range(3), key=lambda axis: axis != np.argmin(spacing)
        )  # the finest axis first is fastest
        predicted, expected = (np.ascontiguousarray(mask.transpose(order)) for mask in surfaces)
        depth, height, width = (float(spacing[axis]) for axis in order)
    return SurfaceDistances(
        from_prediction=nearest_distances(predicted, expected, (depth, height, width)),
        from_reference=nearest_distances(expected, predicted, (depth, height, width)),
    )
