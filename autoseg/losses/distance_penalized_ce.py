"""Cross-entropy with up to twice the weight near boundaries.

Source: Caliva et al., MIDL 2019 (arXiv 1908.03679), equation 2.
"""

from typing import Literal

import numpy as np
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid
from autoseg.losses.cross_entropy import (
    ClassWeights,
    cross_entropy_terms,
    mean_of_terms,
    term_weights,
)
from autoseg.losses.distance_loss import BatchGeometry, DistanceLoss
from autoseg.losses.distances import DistanceArray, DistanceMaps, LabelMasks, contour_distances


@LOSSES.register
class DistancePenalizedCrossEntropy(DistanceLoss):
    """Mean of `(1 + F)·cross-entropy`, where F = 1 - distance to the contour / largest distance.

    F is computed separately inside and outside: 0 at the voxel farthest from the contour on that
    side, and close to 1 at the contour. Without a contour, F is 0. The sum is divided by the number
    of valid voxels, not by the sum of `1 + F`. Unlike the published loss, the largest distance is
    taken over the patch instead of the image.

    Attributes:
        class_weights: Weight of each class in the mean, background first (or of each
            region); None means equal weights.
    """

    kind: Literal["distance_penalized_ce"] = "distance_penalized_ce"
    class_weights: ClassWeights = None

    @override
    def reference_maps(self, masks: LabelMasks) -> DistanceMaps:
        sides = masks.foreground if masks.are_regions else [masks.foreground.any(axis=0)]
        annotated = np.ones(sides[0].shape, bool) if masks.annotated is None else masks.annotated
        each = zip(contour_distances(masks), sides, strict=True)
        return np.stack([_closeness(distances, inside, annotated) for distances, inside in each])

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: Valid, geometry: BatchGeometry
    ) -> Scalar:
        terms = cross_entropy_terms(logits, labels)
        weights = term_weights(terms, labels, self.class_weights)
        return mean_of_terms(terms * (1 + geometry.maps), valid, weights)


def _closeness(distances: DistanceArray, inside: MaskArray, annotated: MaskArray) -> DistanceArray:
    """Compute 1 - distance / largest distance on the voxel's side; 0 without a contour."""
    closeness = np.zeros_like(distances)
    for side in (inside & annotated, ~inside & annotated):
        largest = distances[side].max(initial=0.0)
        if largest > 0:
            closeness[side] = 1 - distances[side] / largest
    return closeness
