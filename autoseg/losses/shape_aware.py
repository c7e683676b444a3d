"""Shape-aware cross-entropy: weights errors by their distance to the reference contour.

Source: Al Arif et al., MSKI 2017 (LNCS 10734), equation 6.
"""

from typing import Literal

import torch
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid, is_regional
from autoseg.losses.cross_entropy import Terms, cross_entropy_terms, mean_of_terms
from autoseg.losses.distance_loss import BatchGeometry, DistanceLoss
from autoseg.losses.distances import DistanceMaps, LabelMasks, contour_distances


@LOSSES.register
class ShapeAware(DistanceLoss):
    """Mean of `(1 + E)·cross-entropy`, where E is the distance of errors to the true contour, mm.

    E is 0 where the prediction is correct, so only voxels between the two contours gain weight.
    In the paper, E is the mean distance between the predicted and the true curve: one number for
    all errors, which is not meaningful for several objects.
    """

    kind: Literal["shape_aware"] = "shape_aware"

    @override
    def reference_maps(self, masks: LabelMasks) -> DistanceMaps:
        return contour_distances(masks)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: Valid, geometry: BatchGeometry
    ) -> Scalar:
        terms = cross_entropy_terms(logits, labels)
        errors = _is_misclassified(logits, labels) * geometry.maps
        return mean_of_terms(terms * (1 + errors), valid)


def _is_misclassified(logits: LogitsBatch, labels: Targets) -> Terms:
    if is_regional(logits, labels):
        return ((logits > 0) != (labels > 0.5)).to(torch.float32)
    return (logits.argmax(dim=1) != labels)[:, None].to(torch.float32)
