"""Hausdorff loss based on distance transforms: penalises errors far from the boundaries.

Source: Karimi & Salcudean, IEEE Transactions on Medical Imaging 39 (2020), equation 8, alpha = 2.
"""

from typing import Literal

import numpy as np
from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid, mean_over_samples
from autoseg.losses.distance_loss import BatchGeometry, DistanceLoss
from autoseg.losses.distances import (
    DistanceMaps,
    LabelMasks,
    boundary_distances,
    signed_distances,
)
from autoseg.losses.soft_counts import probabilities_and_truth


@LOSSES.register
class HausdorffDistance(DistanceLoss):
    """Mean of squared error times `D_reference^alpha + D_prediction^alpha`, in mm^alpha.

    Averaged over valid voxels, foreground classes or regions, and samples. The boundary of the
    prediction is where the probability crosses 0.5. Its distances are computed in every step on the
    device of the network, which dominates the time of the loss. Distances are 0 without a boundary.
    Best combined with a region loss (`dice_hausdorff`).

    Attributes:
        exponent: alpha; larger values penalise distant errors more.
        of_prediction: Whether to add distances to the boundary of the prediction; the one-sided
            variant without them is as fast as other losses.
    """

    kind: Literal["hausdorff_dt"] = "hausdorff_dt"
    exponent: PositiveFloat = 2.0
    of_prediction: bool = True

    @override
    def reference_maps(self, masks: LabelMasks) -> DistanceMaps:
        return np.asarray(np.abs(signed_distances(masks)))

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: Valid, geometry: BatchGeometry
    ) -> Scalar:
        probabilities, truth = probabilities_and_truth(logits, labels)
        field = geometry.maps**self.exponent
        if self.of_prediction:
            distances = boundary_distances(probabilities > 0.5, valid, geometry.spacing)
            field = field + distances**self.exponent
        errors = (probabilities - truth.to(probabilities.dtype)) ** 2
        return mean_over_samples(errors * field, valid)
