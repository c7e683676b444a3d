"""Cross-entropy with class weights, larger for rare classes.

Source: Ronneberger et al., MICCAI 2015, equation 1, without its border term.
"""

from typing import ClassVar, Literal

from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Loss, Targets, Valid
from autoseg.losses.cross_entropy import ClassWeights, mean_cross_entropy


@LOSSES.register
class WeightedCrossEntropy(Loss):
    """Cross-entropy averaged with the weights of the true classes, as in PyTorch.

    Attributes:
        class_weights: Weight of each class, background first (or of each region); None means
            equal weights. The planner computes the weights from the class frequencies.
    """

    needs_class_weights: ClassVar[bool] = True

    kind: Literal["weighted_cross_entropy"] = "weighted_cross_entropy"
    class_weights: ClassWeights = None

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        return mean_cross_entropy(logits, labels, valid, class_weights=self.class_weights)
