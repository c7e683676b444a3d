"""Shape-aware cross-entropy: wrong voxels cost more, the farther they are from the true contour.

Source: Al Arif et al., MSKI 2017 (LNCS 10734), equation 6.
"""

from typing import Literal

import torch
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Targets, is_regional
from autoseg.losses.cross_entropy import Terms, cross_entropy_terms, mean_of_terms
from autoseg.losses.distance_loss import DistanceLoss, Measured
from autoseg.losses.distances import DistanceMaps, LabelMasks, contour_distances


@LOSSES.register
class ShapeAware(DistanceLoss):
    """Mean of `(1 + E)·cross-entropy`, E the distance in mm to the true contour of a wrong voxel.

    E is 0 where the prediction is right, so it weighs what lies between both contours. Departs:
    the published E is the mean distance of the predicted to the true curve, one number for all
    wrong voxels, which has no meaning for several objects.
    """

    kind: Literal["shape_aware"] = "shape_aware"

    @override
    def label_maps(self, masks: LabelMasks) -> DistanceMaps:
        return contour_distances(masks)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: ValidMask | None, measured: Measured
    ) -> Scalar:
        terms = cross_entropy_terms(logits, labels)
        errors = _is_wrong(logits, labels) * measured.maps
        return mean_of_terms(terms * (1 + errors), valid)


def _is_wrong(logits: LogitsBatch, labels: Targets) -> Terms:
    if is_regional(logits, labels):
        return ((logits > 0) != (labels > 0.5)).to(torch.float32)
    return (logits.argmax(dim=1) != labels)[:, None].to(torch.float32)
