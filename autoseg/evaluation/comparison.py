"""Quantities that the metrics of a mask share, computed on first use and cached."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from autoseg.core.arrays import MaskArray
from autoseg.evaluation.nearest import nearest_distances

SurfaceDistances = tuple[Float[np.ndarray, " predicted"], Float[np.ndarray, " expected"]]
"""Distance of each surface voxel of the prediction to the surface of the reference, and of each
surface voxel of the reference to that of the prediction; mm."""

ROUNDING_SLACK = 1e-9
"""Relative slack of the limit of a distance, for rounding: 3 × 1.1 mm is within 3.3 mm."""


@dataclass(frozen=True)
class Comparison:
    """A predicted mask and its reference; at least one of them is not empty.

    Attributes:
        prediction: Predicted mask.
        reference: Reference mask, same shape.
        spacing: Voxel size along each axis, mm.
        tolerance_mm: NSD tolerance, mm.
        image_shape: Shape of the image; larger than the masks if these are cropped to the class.
    """

    prediction: MaskArray
    reference: MaskArray
    spacing: tuple[float, ...]
    tolerance_mm: float
    image_shape: tuple[int, ...]

    @cached_property
    def predicted(self) -> int:
        """Number of voxels of the prediction."""
        return int(np.count_nonzero(self.prediction))

    @cached_property
    def expected(self) -> int:
        """Number of voxels of the reference."""
        return int(np.count_nonzero(self.reference))

    @cached_property
    def common(self) -> int:
        """Number of voxels in both masks."""
        return int(np.count_nonzero(self.prediction & self.reference))

    @cached_property
    def distances(self) -> SurfaceDistances | None:
        """Distances between the surfaces, mm; None if one of the masks is empty."""
        if not self.predicted or not self.expected:
            return None
        return surface_distances(self.prediction, self.reference, self.spacing)


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
        finest = int(np.argmin(spacing))  # fastest as the first axis
        order = sorted(range(3), key=lambda axis: axis != finest)
        predicted, expected = (np.ascontiguousarray(mask.transpose(order)) for mask in surfaces)
        depth, height, width = (float(spacing[axis]) for axis in order)
    return (
        nearest_distances(predicted, expected, (depth, height, width)),
        nearest_distances(expected, predicted, (depth, height, width)),
    )


def surface(mask: MaskArray) -> MaskArray:
    """Return the voxels of a mask that share a face with the outside or with the image border."""
    inside = mask.copy()
    for axis in range(mask.ndim):
        along, of_mask = np.moveaxis(inside, axis, 0), np.moveaxis(mask, axis, 0)
        along[1:] &= of_mask[:-1]
        along[:-1] &= of_mask[1:]
        along[0] = along[-1] = False
    inside ^= mask  # a part of the mask, of which the rest remains
    return np.asarray(inside)
