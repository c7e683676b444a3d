"""Soft Dice plus the Hausdorff loss by distance transforms.

Source: Karimi & Salcudean, IEEE Transactions on Medical Imaging 39 (2020), section II-C.
"""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Targets
from autoseg.losses.dice import dice_loss
from autoseg.losses.distance_loss import DistanceLoss, Measured
from autoseg.losses.distances import DistanceMaps, LabelMasks
from autoseg.losses.hausdorff_dt import HausdorffDistance
from autoseg.losses.soft_counts import Pool

SMALLEST_TERM = 1e-8
"""Keeps the ratio of both terms finite."""


@LOSSES.register
class DiceHausdorff(DistanceLoss):
    """Weighted sum of the Dice loss and the Hausdorff loss.

    Attributes:
        dice_weight: Weight of the Dice term.
        hausdorff_weight: Weight of the Hausdorff term, per mm^exponent.
        equalize: Whether the Hausdorff term is scaled to the size of the Dice term in every batch
            (by a number without gradient), before the weights. The authors do so once an epoch.
        exponent: How much more far errors cost.
        of_prediction: Whether distances to the prediction's boundary count.
        pool: Over what Dice sums its counts.
        smooth: Added to both halves of the Dice ratio, in voxels.
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
        """The second term."""
        return HausdorffDistance(exponent=self.exponent, of_prediction=self.of_prediction)

    @override
    def label_maps(self, masks: LabelMasks) -> DistanceMaps:
        return self.hausdorff.label_maps(masks)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: ValidMask | None, measured: Measured
    ) -> Scalar:
        dice = dice_loss(logits, labels, valid, pool=self.pool, smooth=self.smooth)
        hausdorff = self.hausdorff.value(logits, labels, valid, measured)
        if self.equalize:
            hausdorff = hausdorff * (dice / hausdorff.clamp(min=SMALLEST_TERM)).detach()
        return self.dice_weight * dice + self.hausdorff_weight * hausdorff
