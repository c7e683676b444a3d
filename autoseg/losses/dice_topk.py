"""Soft Dice plus top-k cross-entropy.

Source: Ma et al., Medical Image Analysis 71 (2021): the best of 20 losses on liver tumours.
"""

from functools import partial
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.dice import dice_loss
from autoseg.losses.soft_counts import Pool
from autoseg.losses.topk import Share, topk_cross_entropy


@LOSSES.register
class DiceTopK(Loss):
    """Weighted sum of the Dice loss and top-k cross-entropy.

    Attributes:
        dice_weight: Weight of the Dice term.
        topk_weight: Weight of the top-k term.
        fraction: Share of the valid voxels that the top-k term averages.
        class_weights: Weight of each class in the top-k term, background first (or of each
            region); None means equal weights.
        pool: Whether Dice counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator of Dice, in voxels.
    """

    kind: Literal["dice_topk"] = "dice_topk"
    dice_weight: NonNegativeFloat = 1.0
    topk_weight: NonNegativeFloat = 1.0
    fraction: Share = 0.1
    class_weights: tuple[PositiveFloat, ...] | None = None
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(dice_topk_loss, config=self)


def dice_topk_loss(
    logits: LogitsBatch, labels: Targets, valid: ValidMask | None = None, *, config: DiceTopK
) -> Scalar:
    """Compute the weighted sum of both losses; 0 for a perfect prediction.

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        config: Parameters of the loss.
    """
    dice = dice_loss(logits, labels, valid, pool=config.pool, smooth=config.smooth)
    hardest = topk_cross_entropy(
        logits, labels, valid, fraction=config.fraction, class_weights=config.class_weights
    )
    return config.dice_weight * dice + config.topk_weight * hardest
