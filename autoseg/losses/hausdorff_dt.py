"""Hausdorff loss by distance transforms: errors far from both boundaries cost more.

Source: Karimi & Salcudean, IEEE Transactions on Medical Imaging 39 (2020), equation 8, alpha = 2.
"""

from typing import Literal

import numpy as np
from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Targets, mean_by_sample
from autoseg.losses.device_distances import boundary_distances
from autoseg.losses.distance_loss import DistanceLoss, Measured
from autoseg.losses.distances import DistanceMaps, LabelMasks, signed_distances
from autoseg.losses.soft_counts import predicted_and_true


@LOSSES.register
class HausdorffDistance(DistanceLoss):
    """Mean of squared error times `D_reference^alpha + D_prediction^alpha`, in mm^alpha.

    Over the valid voxels, the foreground classes or regions, and samples. The prediction's
    boundary is where its probability crosses 1/2; its distances are measured in every step, on the
    network's device, which costs more than all else in the loss. What has no boundary has
    distance 0. Best together with a region loss (`dice_hausdorff`).

    Attributes:
        exponent: alpha, how much more far errors cost.
        of_prediction: Whether distances to the prediction's boundary count; the one-sided variant
            without them is as fast as other losses.
    """

    kind: Literal["hausdorff_dt"] = "hausdorff_dt"
    exponent: PositiveFloat = 2.0
    of_prediction: bool = True

    @override
    def label_maps(self, masks: LabelMasks) -> DistanceMaps:
        return np.asarray(np.abs(signed_distances(masks)))

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: ValidMask | None, measured: Measured
    ) -> Scalar:
        probabilities, truth = predicted_and_true(logits, labels)
        field = measured.maps**self.exponent
        if self.of_prediction:
            found = boundary_distances(probabilities > 0.5, valid, measured.spacing)
            field = field + found**self.exponent
        errors = (probabilities - truth.to(probabilities.dtype)) ** 2
        return mean_by_sample(errors * field, valid)
