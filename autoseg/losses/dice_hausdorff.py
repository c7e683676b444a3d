"""Soft Dice plus the Hausdorff loss based on distance transforms.

Source: Karimi & Salcudean, IEEE Transactions on Medical Imaging 39 (2020), section II-C.
"""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid
from autoseg.losses.dice import CompoundLoss
from autoseg.losses.distance_loss import BatchGeometry, DistanceLoss
from autoseg.losses.distances import DistanceMaps, LabelMasks
from autoseg.losses.hausdorff_dt import HausdorffDistance

MIN_HAUSDORFF = 1e-8
"""Lower bound of the Hausdorff term; keeps the ratio of both terms finite."""


@LOSSES.register
class DiceHausdorff(DistanceLoss, CompoundLoss):
    """Weighted sum of the Dice loss and the Hausdorff loss.

    Attributes:
        dice_weight: Weight of the Dice term.
        hausdorff_weight: Weight of the Hausdorff term, per mm^exponent.
        equalize: Whether to scale the Hausdorff term to the value of the Dice term in each batch
            (by a detached factor) before weighting. The authors do this once per epoch.
        exponent: Exponent of the distances; larger values penalise distant errors more.
        of_prediction: Whether to add distances to the boundary of the prediction.
    """

    kind: Literal["dice_hausdorff"] = "dice_hausdorff"
    dice_weight: NonNegativeFloat = 1.0
    hausdorff_weight: NonNegativeFloat = 1.0
    equalize: bool = False
    exponent: PositiveFloat = 2.0
    of_prediction: bool = True

    @property
    def hausdorff(self) -> HausdorffDistance:
        """The Hausdorff term."""
        return HausdorffDistance(exponent=self.exponent, of_prediction=self.of_prediction)

    @override
    def reference_maps(self, masks: LabelMasks) -> DistanceMaps:
        return self.hausdorff.reference_maps(masks)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: Valid, geometry: BatchGeometry
    ) -> Scalar:
        dice = self.dice(logits, labels, valid)
        hausdorff = self.hausdorff.value(logits, labels, valid, geometry)
        if self.equalize:
            hausdorff = hausdorff * (dice / hausdorff.clamp(min=MIN_HAUSDORFF)).detach()
        return self.dice_weight * dice + self.hausdorff_weight * hausdorff
