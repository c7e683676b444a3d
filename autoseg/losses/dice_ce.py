"""Soft Dice plus cross-entropy, the usual loss in medical image segmentation.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule".
"""

from functools import partial
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import (
    LOSSES,
    Loss,
    LossFunction,
    Targets,
    foreground,
    log_probabilities,
    membership,
)
from autoseg.losses.cross_entropy import mean_cross_entropy
from autoseg.losses.dice import soft_dice
from autoseg.losses.soft_counts import Pool


@LOSSES.register
class DiceCrossEntropy(Loss):
    """Weighted sum of the soft Dice loss and cross-entropy.

    Attributes:
        pool: Whether Dice counts are summed per sample or over the batch; "batch" is nnU-Net's
            batch Dice.
        class_weights: Weight of each class in cross-entropy, background first (or of each region);
            None means equal weights.
        dice_weight: Weight of the Dice term.
        cross_entropy_weight: Weight of the cross-entropy term.
        smooth: Added to numerator and denominator of Dice, in voxels; avoids 0 / 0 for
            empty classes.
    """

    kind: Literal["dice_ce"] = "dice_ce"
    pool: Pool = "sample"
    class_weights: tuple[PositiveFloat, ...] | None = None
    dice_weight: NonNegativeFloat = 1.0
    cross_entropy_weight: NonNegativeFloat = 1.0
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(dice_cross_entropy, config=self)


def dice_cross_entropy(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    config: DiceCrossEntropy,
) -> Scalar:
    """Compute the weighted sum of both losses; 0 for a perfect prediction.

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`; converted to float32.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        config: Weights, pooling and smoothing.
    """
    scores = log_probabilities(logits, labels)  # both terms need them
    cross_entropy = mean_cross_entropy(
        logits, labels, valid, class_weights=config.class_weights, scores=scores
    )
    dice = soft_dice(
        foreground(scores.exp(), logits, labels),
        foreground(membership(logits, labels), logits, labels),
        valid,
        pool=config.pool,
        smooth=config.smooth,
    )
    return config.cross_entropy_weight * cross_entropy + config.dice_weight * (1 - dice)
