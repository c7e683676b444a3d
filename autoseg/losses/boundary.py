"""Boundary loss: predicted probability times signed distance to the reference boundary.

Source: Kervadec et al., MIDL 2019 (Medical Image Analysis 67, 2021), equation 5.
"""

from typing import Literal

from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid, mean_over_samples
from autoseg.losses.distance_loss import BatchGeometry, DistanceLoss
from autoseg.losses.distances import DistanceMaps, LabelMasks, signed_distances
from autoseg.losses.soft_counts import probabilities_and_truth


@LOSSES.register
class Boundary(DistanceLoss):
    """Mean of the signed distance (mm, negative inside) times probability.

    Averaged over valid voxels, foreground classes or regions, and samples; negative for good
    predictions. A class without a boundary in the patch contributes 0 regardless of the
    prediction, so combine it with a region loss (`dice_boundary`). Unlike the published loss,
    distances are in mm instead of voxels and are not measured from the boundary voxels themselves.
    """

    kind: Literal["boundary"] = "boundary"

    @override
    def reference_maps(self, masks: LabelMasks) -> DistanceMaps:
        return signed_distances(masks)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: Valid, geometry: BatchGeometry
    ) -> Scalar:
        probabilities, _ = probabilities_and_truth(logits, labels)
        return mean_over_samples(geometry.maps * probabilities, valid)
