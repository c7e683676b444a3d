"""Soft Dice plus the focal loss.

Source: Zhu et al., Medical Physics 46 (2019) (AnatomyNet), equation 3, and MONAI's weights of 1.
"""

from functools import partial
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.dice import dice_loss
from autoseg.losses.focal import focal_loss
from autoseg.losses.soft_counts import Pool


@LOSSES.register
class DiceFocal(Loss):
    """Weighted sum of the Dice loss and the focal loss.

    Attributes:
        dice_weight: Weight of the Dice term.
        focal_weight: Weight of the focal term; 0.5 in the paper.
        gamma: Focusing exponent of the focal term; larger values down-weight easy voxels more.
        class_weights: Weight of each class in the focal term, background first (or of each
            region); None means equal weights.
        pool: Whether Dice counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator of Dice, in voxels.
    """

    kind: Literal["dice_focal"] = "dice_focal"
    dice_weight: NonNegativeFloat = 1.0
    focal_weight: NonNegativeFloat = 1.0
    gamma: NonNegativeFloat = 2.0
    class_weights: tuple[PositiveFloat, ...] | None = None
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(dice_focal_loss, config=self)


def dice_focal_loss(
    logits: LogitsBatch, labels: Targets, valid: ValidMask | None = None, *, config: DiceFocal
) -> Scalar:
    """Compute the weighted sum of both losses; 0 for a perfect prediction.

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        config: Parameters of the loss.
    """
    dice = dice_loss(logits, labels, valid, pool=config.pool, smooth=config.smooth)
    focal = focal_loss(
        logits, labels, valid, gamma=config.gamma, class_weights=config.class_weights
    )
    return config.dice_weight * dice + config.focal_weight * focal
