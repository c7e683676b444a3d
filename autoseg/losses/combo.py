"""Combo loss: weighted binary cross-entropy blended with soft Dice.

Source: Taghanaki et al., Computerized Medical Imaging and Graphics 75 (2019), equation 3.
"""

from functools import partial
from typing import Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import (
    LOSSES,
    Loss,
    LossFunction,
    Targets,
    mean_over_samples,
)
from autoseg.losses.dice import soft_dice
from autoseg.losses.one_vs_rest import complement, one_vs_rest
from autoseg.losses.soft_counts import Pool


@LOSSES.register
class Combo(Loss):
    """`a·(-b·y·log p - (1 - b)·(1 - y)·log(1 - p)) + (1 - a)·(1 - Dice)`, per foreground class.

    Computed one-vs-rest for each class (or region), averaged over voxels, classes and samples.
    Unlike the published loss, which subtracts Dice and sums over classes, a perfect prediction has
    the value 0.

    Attributes:
        cross_entropy_weight: a; Dice has the weight `1 - a`.
        miss_weight: b; values above 0.5 penalise false negatives more than false positives.
        pool: Whether Dice counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator of Dice, in voxels.
    """

    kind: Literal["combo"] = "combo"
    cross_entropy_weight: Fraction = 0.5
    miss_weight: Fraction = 0.5
    pool: Pool = "sample"
    smooth: PositiveFloat = 1.0

    @override
    def build(self) -> LossFunction:
        return partial(combo_loss, config=self)


def combo_loss(
    logits: LogitsBatch, labels: Targets, valid: ValidMask | None = None, *, config: Combo
) -> Scalar:
    """Compute the weighted sum of both losses; 0 for a perfect prediction.

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        config: Parameters of the loss.
    """
    log_inside, log_outside, truth = one_vs_rest(logits, labels)
    inside = -config.miss_weight * truth * log_inside
    outside = -(1 - config.miss_weight) * complement(truth) * log_outside
    dice = soft_dice(log_inside.exp(), truth, valid, pool=config.pool, smooth=config.smooth)
    weight = config.cross_entropy_weight
    return weight * mean_over_samples(inside + outside, valid) + (1 - weight) * (1 - dice)
