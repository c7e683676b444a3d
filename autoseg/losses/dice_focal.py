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
        gamma: How little easy voxels count in the focal term.
        class_weights: Weight of each class in the focal term, background first (or of each
            region); none means equal.
        pool: Over what Dice sums its counts.
        smooth: Added to both halves of the Dice ratio, in voxels.
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
    """Return the weighted sum of both losses; 0 for a perfect prediction."""
    dice = dice_loss(logits, labels, valid, pool=config.pool, smooth=config.smooth)
    focal = focal_loss(
        logits, labels, valid, gamma=config.gamma, class_weights=config.class_weights
    )
    return config.dice_weight * dice + config.focal_weight * focal
