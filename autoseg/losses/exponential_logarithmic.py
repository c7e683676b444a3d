"""Exponential logarithmic loss: powers of the logarithms of Dice and of the true probability.

Source: Wong et al., MICCAI 2018, equations 1 to 3: weights 0.8 and 0.2, both exponents 0.3.
"""

from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid, bounded_power, is_regional
from autoseg.losses.cross_entropy import Terms, cross_entropy_terms, mean_of_terms, term_weights
from autoseg.losses.overlap_loss import PooledLoss
from autoseg.losses.soft_counts import masked, probabilities_and_truth, soft_counts

MIN_FREQUENCY = 1e-6
"""Lower bound of class frequencies; keeps the weights of absent classes finite."""


@LOSSES.register
class ExponentialLogarithmic(PooledLoss):
    """`0.8·mean over classes of (-ln Dice)^0.3 + 0.2·mean over voxels of w·(-ln p)^0.3`.

    Dice is averaged over all classes including the background (or all regions). The weight w of a
    voxel is √(sum of all class frequencies / frequency of its class). Logarithms below 1e-6 are
    clamped, because the gradient of both powers would be infinite at a perfect prediction, whose
    loss is about 0.02.

    Attributes:
        dice_weight: Weight of the Dice term.
        cross_entropy_weight: Weight of the cross-entropy term.
        dice_exponent: Exponent of the logarithm of Dice.
        cross_entropy_exponent: Exponent of the cross-entropy.
        class_frequencies: Share of each class among all voxels, background first; None means a
            weight of 1 for all classes. Ignored for regions. The planner takes the frequencies from
            the fingerprint.
    """

    kind: Literal["exponential_logarithmic"] = "exponential_logarithmic"
    dice_weight: NonNegativeFloat = 0.8
    cross_entropy_weight: NonNegativeFloat = 0.2
    dice_exponent: PositiveFloat = 0.3
    cross_entropy_exponent: PositiveFloat = 0.3
    class_frequencies: tuple[NonNegativeFloat, ...] | None = None
    smooth: PositiveFloat = 1.0

    @property
    def weights(self) -> tuple[float, ...] | None:
        """Weight of each class, background first, in the cross-entropy term."""
        if self.class_frequencies is None:
            return None
        bounded = [max(share, MIN_FREQUENCY) for share in self.class_frequencies]
        return tuple((sum(bounded) / share) ** 0.5 for share in bounded)

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        pair = probabilities_and_truth(logits, labels, with_background=True)
        counts = soft_counts(*masked(*pair, valid), self.pool)
        overlap = 2 * counts.true_positives + self.smooth
        dice = overlap / (overlap + counts.false_positives + counts.false_negatives)
        dice_term = bounded_power(-torch.log(dice), self.dice_exponent).mean()
        entropy_term = self._entropy_term(cross_entropy_terms(logits, labels), labels, valid)
        return self.dice_weight * dice_term + self.cross_entropy_weight * entropy_term

    def _entropy_term(self, terms: Terms, labels: Targets, valid: Valid) -> Scalar:
        """Compute the mean over valid voxels and regions; not divided by the sum of weights."""
        powers = bounded_power(terms, self.cross_entropy_exponent)
        weights = None if is_regional(terms, labels) else term_weights(terms, labels, self.weights)
        return mean_of_terms(powers if weights is None else powers * weights, valid)
