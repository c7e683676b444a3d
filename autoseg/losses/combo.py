"""Combo loss: weighted binary cross-entropy blended with soft Dice.

Source: Taghanaki et al., Computerized Medical Imaging and Graphics 75 (2019), equation 3.
"""

from typing import Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid, mean_over_samples
from autoseg.losses.dice import CompoundLoss
from autoseg.losses.one_vs_rest import complement, one_vs_rest
from autoseg.losses.soft_counts import masked


@LOSSES.register
class Combo(CompoundLoss):
    """`a·(-b·y·log p - (1 - b)·(1 - y)·log(1 - p)) + (1 - a)·(1 - Dice)`, per foreground class.

    Computed one-vs-rest for each class (or region), averaged over voxels, classes and samples.
    Unlike the published loss, which subtracts Dice and sums over classes, a perfect prediction has
    the value 0.

    Attributes:
        cross_entropy_weight: a; Dice has the weight `1 - a`.
        miss_weight: b; values above 0.5 penalise false negatives more than false positives.
    """

    kind: Literal["combo"] = "combo"
    cross_entropy_weight: Fraction = 0.5
    miss_weight: Fraction = 0.5
    smooth: PositiveFloat = 1.0

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        log_inside, log_outside, truth = one_vs_rest(logits, labels)
        inside = -self.miss_weight * truth * log_inside
        outside = -(1 - self.miss_weight) * complement(truth) * log_outside
        dice = self.dice.of_probabilities(*masked(log_inside.exp(), truth, valid))
        weight = self.cross_entropy_weight
        return weight * mean_over_samples(inside + outside, valid) + (1 - weight) * dice
