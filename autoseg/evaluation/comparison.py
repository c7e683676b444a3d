"""Quantities that the metrics of a mask share, computed on first use and cached."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from autoseg.core.arrays import MaskArray
from autoseg.evaluation.surfaces import SurfaceDistances, surface_distances

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

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, mL."""
        return prod(self.spacing) / 1000

    @cached_property
    def distances(self) -> SurfaceDistances | None:
        """Distances between the surfaces, mm; None if one of the masks is empty."""
        if not self.predicted or not self.expected:
            return None
        return surface_distances(self.prediction, self.reference, self.spacing)
