"""Soft Dice plus cross-entropy, the usual loss in medical image segmentation.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule".
"""

from typing import ClassVar, Literal

from pydantic import NonNegativeFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid, foreground, log_probabilities, membership
from autoseg.losses.cross_entropy import ClassWeights, mean_cross_entropy
from autoseg.losses.dice import CompoundLoss
from autoseg.losses.soft_counts import masked


@LOSSES.register
class DiceCrossEntropy(CompoundLoss):
    """Weighted sum of the soft Dice loss and cross-entropy; 0 for a perfect prediction.

    Attributes:
        class_weights: Weight of each class in cross-entropy, background first (or of each region);
            None means equal weights.
        dice_weight: Weight of the Dice term.
        cross_entropy_weight: Weight of the cross-entropy term.
    """

    written_last: ClassVar[tuple[str, ...]] = ("smooth",)

    kind: Literal["dice_ce"] = "dice_ce"
    class_weights: ClassWeights = None
    dice_weight: NonNegativeFloat = 1.0
    cross_entropy_weight: NonNegativeFloat = 1.0

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        scores = log_probabilities(logits, labels)  # both terms need them
        cross_entropy = mean_cross_entropy(
            logits, labels, valid, class_weights=self.class_weights, scores=scores
        )
        probabilities = foreground(scores.exp(), labels)
        truth = foreground(membership(logits, labels), labels)
        dice = self.dice.of_probabilities(*masked(probabilities, truth, valid))
        return self.cross_entropy_weight * cross_entropy + self.dice_weight * dice
