"""Boundary loss: probability costs its distance outside the reference, and gains it inside.

Source: Kervadec et al., MIDL 2019 (Medical Image Analysis 67, 2021), equation 5.
"""

from typing import Literal

from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Targets, mean_by_sample
from autoseg.losses.distance_loss import DistanceLoss, MapBatch, Measured
from autoseg.losses.distances import DistanceMaps, LabelMasks, signed_distances
from autoseg.losses.soft_counts import predicted_and_true


@LOSSES.register
class Boundary(DistanceLoss):
    """Mean of the signed distance (mm, negative inside) times probability.

    Over the valid voxels, the foreground classes or regions, and samples; it is negative for good
    predictions. A class without a boundary in the patch costs 0, wherever it is predicted: use it
    with a region loss (`dice_boundary`). Departs: in mm; the published one is in voxels, and
    measures from the boundary's own voxels.
    """

    kind: Literal["boundary"] = "boundary"

    @override
    def label_maps(self, masks: LabelMasks) -> DistanceMaps:
        return signed_distances(masks)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: ValidMask | None, measured: Measured
    ) -> Scalar:
        return boundary_loss(logits, labels, valid, measured.maps)


def boundary_loss(
    logits: LogitsBatch, labels: Targets, valid: ValidMask | None, distances: MapBatch
) -> Scalar:
    """Return the mean of signed distance times probability, mm."""
    probabilities, _ = predicted_and_true(logits, labels)
    return mean_by_sample(distances * probabilities, valid)
