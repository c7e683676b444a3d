"""Soft Dice plus top-k cross-entropy.

Source: Ma et al., Medical Image Analysis 71 (2021): the best of 20 losses on liver tumours.
"""

from typing import Literal

from pydantic import NonNegativeFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid
from autoseg.losses.cross_entropy import ClassWeights
from autoseg.losses.dice import CompoundLoss
from autoseg.losses.topk import Share, TopK


@LOSSES.register
class DiceTopK(CompoundLoss):
    """Weighted sum of the Dice loss and top-k cross-entropy; 0 for a perfect prediction.

    Attributes:
        dice_weight: Weight of the Dice term.
        topk_weight: Weight of the top-k term.
        fraction: Share of the valid voxels that the top-k term averages.
        class_weights: Weight of each class in the top-k term, background first (or of each
            region); None means equal weights.
    """

    kind: Literal["dice_topk"] = "dice_topk"
    dice_weight: NonNegativeFloat = 1.0
    topk_weight: NonNegativeFloat = 1.0
    fraction: Share = 0.1
    class_weights: ClassWeights = None

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        topk = TopK(fraction=self.fraction, class_weights=self.class_weights)
        dice, hardest = self.dice(logits, labels, valid), topk(logits, labels, valid)
        return self.dice_weight * dice + self.topk_weight * hardest
