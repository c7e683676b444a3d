"""Combo loss: cross-entropy that can prefer misses or false alarms, blended with soft Dice.

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
    mean_by_sample,
)
from autoseg.losses.dice import soft_dice
from autoseg.losses.one_against_rest import one_against_rest, outside_of
from autoseg.losses.soft_counts import Pool


@LOSSES.register
class Combo(Loss):
    """`a·(-b·y·log p - (1 - b)·(1 - y)·log(1 - p)) + (1 - a)·(1 - Dice)`, per foreground class.

    Each class (or region) against all others, averaged over voxels, classes and samples. Departs:
    the published loss subtracts Dice, and sums over classes; here a perfect prediction costs 0.

    Attributes:
        cross_entropy_weight: a; Dice weighs the rest.
        miss_weight: b; above 0.5 punishes misses more than false alarms.
        pool: Over what Dice sums its counts.
        smooth: Added to both halves of the Dice ratio, in voxels.
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
    """Return the blend of both losses; 0 for a perfect prediction."""
    log_inside, log_outside, truth = one_against_rest(logits, labels)
    missed = -config.miss_weight * truth * log_inside
    wrong = -(1 - config.miss_weight) * outside_of(truth) * log_outside
    dice = soft_dice(log_inside.exp(), truth, valid, pool=config.pool, smooth=config.smooth)
    weight = config.cross_entropy_weight
    return weight * mean_by_sample(missed + wrong, valid) + (1 - weight) * (1 - dice)
