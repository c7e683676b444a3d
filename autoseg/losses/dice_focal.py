"""Soft Dice plus the focal loss.

Source: Zhu et al., Medical Physics 46 (2019) (AnatomyNet), equation 3, and MONAI's weights of 1.
"""

from typing import Literal

from pydantic import NonNegativeFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid
from autoseg.losses.cross_entropy import ClassWeights
from autoseg.losses.dice import CompoundLoss
from autoseg.losses.focal import Focal


@LOSSES.register
class DiceFocal(CompoundLoss):
    """Weighted sum of the Dice loss and the focal loss; 0 for a perfect prediction.

    Attributes:
        dice_weight: Weight of the Dice term.
        focal_weight: Weight of the focal term; 0.5 in the paper.
        gamma: Focusing exponent of the focal term; larger values down-weight easy voxels more.
        class_weights: Weight of each class in the focal term, background first (or of each
            region); None means equal weights.
    """

    kind: Literal["dice_focal"] = "dice_focal"
    dice_weight: NonNegativeFloat = 1.0
    focal_weight: NonNegativeFloat = 1.0
    gamma: NonNegativeFloat = 2.0
    class_weights: ClassWeights = None

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        focal = Focal(gamma=self.gamma, class_weights=self.class_weights)
        dice, focused = self.dice(logits, labels, valid), focal(logits, labels, valid)
        return self.dice_weight * dice + self.focal_weight * focused
