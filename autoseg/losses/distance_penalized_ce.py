"""Cross-entropy that costs up to twice as much near boundaries.

Source: Caliva et al., MIDL 2019 (arXiv 1908.03679), equation 2.
"""

from typing import Literal

import numpy as np
from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Targets
from autoseg.losses.cross_entropy import cross_entropy_terms, mean_of_terms, term_weights
from autoseg.losses.distance_loss import DistanceLoss, Measured
from autoseg.losses.distances import DistanceArray, DistanceMaps, LabelMasks, contour_distances


@LOSSES.register
class DistancePenalizedCrossEntropy(DistanceLoss):
    """Mean of `(1 + F)·cross-entropy`, F = 1 - distance to the contour / its largest.

    F is scaled inside and outside apart: 0 at the voxel that is farthest from the contour on its
    side, and close to 1 at the contour. Where there is none, F is 0. The mean is over valid voxels,
    not by F. Departs: the largest distance is that of the patch, not of the image.

    Attributes:
        class_weights: Weight of each class in the mean, background first (or of each region); none
            means equal.
    """

    kind: Literal["distance_penalized_ce"] = "distance_penalized_ce"
    class_weights: tuple[PositiveFloat, ...] | None = None

    @override
    def label_maps(self, masks: LabelMasks) -> DistanceMaps:
        sides = masks.foreground if masks.are_regions else [masks.foreground.any(axis=0)]
        annotated = np.ones(sides[0].shape, bool) if masks.annotated is None else masks.annotated
        each = zip(contour_distances(masks), sides, strict=True)
        return np.stack([_closeness(distances, inside, annotated) for distances, inside in each])

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: ValidMask | None, measured: Measured
    ) -> Scalar:
        terms = cross_entropy_terms(logits, labels)
        weights = term_weights(terms, labels, self.class_weights)
        return mean_of_terms(terms * (1 + measured.maps), valid, weights)


def _closeness(distances: DistanceArray, inside: MaskArray, annotated: MaskArray) -> DistanceArray:
    """Return 1 - distance over the largest distance on the voxel's side; 0 without a contour."""
    closeness = np.zeros_like(distances)
    for side in (inside & annotated, ~inside & annotated):
        largest = distances[side].max(initial=0.0)
        if largest > 0:
            closeness[side] = 1 - distances[side] / largest
    return closeness
