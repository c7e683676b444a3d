"""Cross-entropy with class weights, larger for rare classes.

Source: Ronneberger et al., MICCAI 2015, equation 1, without its border term.
"""

from functools import partial
from typing import ClassVar, Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.losses.base import LOSSES, Loss, LossFunction
from autoseg.losses.cross_entropy import mean_cross_entropy


@LOSSES.register
class WeightedCrossEntropy(Loss):
    """Cross-entropy averaged with the weights of the true classes, as in PyTorch.

    Attributes:
        class_weights: Weight of each class, background first (or of each region); None means
            equal weights. The planner computes the weights from the class frequencies.
    """

    needs_class_weights: ClassVar[bool] = True

    kind: Literal["weighted_cross_entropy"] = "weighted_cross_entropy"
    class_weights: tuple[PositiveFloat, ...] | None = None

    @override
    def build(self) -> LossFunction:
        return partial(mean_cross_entropy, class_weights=self.class_weights)
