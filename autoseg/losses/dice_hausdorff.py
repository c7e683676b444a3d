"""Soft Dice plus the Hausdorff loss based on distance transforms.

Source: Karimi & Salcudean, IEEE Transactions on Medical Imaging 39 (2020), section II-C.
"""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Targets
from autoseg.losses.dice import dice_loss
from autoseg.losses.distance_loss import BatchGeometry, DistanceLoss
from autoseg.losses.distances import DistanceMaps, LabelMasks
from autoseg.losses.hausdorff_dt import HausdorffDistance
from autoseg.losses.soft_counts import Pool

MIN_HAUSDORFF = 1e-8
"""Lower bound of the Hausdorff term; keeps the ratio of both terms finite."""


@LOSSES.register
class DiceHausdorff(DistanceLoss):
    """Weighted sum of the Dice loss and the Hausdorff loss.

    Attributes:
        dice_weight: Weight of the Dice term.
        hausdorff_weight: Weight of the Hausdorff term, per mm^exponent.
        equalize: Whether to scale the Hausdorff term to the value of the Dice term in each batch
            (by a detached factor) before weighting. The authors do this once per epoch.
        exponent: Exponent of the distances; larger values penalise distant errors more.
        of_prediction: Whether to add distances to the boundary of the prediction.
        pool: Whether Dice counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator of Dice, in voxels.
    """

    kind: Literal["dice_hausdorff"] = "dice_hausdorff"
    dice_weight: NonNegativeFloat = 1.0
    hausdorff_weight: NonNegativeFloat = 1.0
    equalize: bool = False
    exponent: PositiveFloat = 2.0
    of_prediction: bool = True
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @property
    def hausdorff(self) -> HausdorffDistance:
        """Configuration of the Hausdorff term."""
        return HausdorffDistance(exponent=self.exponent, of_prediction=self.of_prediction)

    @override
    def reference_maps(self, masks: LabelMasks) -> DistanceMaps:
        return self.hausdorff.reference_maps(masks)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: ValidMask | None, geometry: BatchGeometry
    ) -> Scalar:
        dice = dice_loss(logits, labels, valid, pool=self.pool, smooth=self.smooth)
        hausdorff = self.hausdorff.value(logits, labels, valid, geometry)
        if self.equalize:
            hausdorff = hausdorff * (dice / hausdorff.clamp(min=MIN_HAUSDORFF)).detach()
        return self.dice_weight * dice + self.hausdorff_weight * hausdorff
