"""Cross-entropy in which the voxels of rare classes count more.

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
    """Mean by the weights of the true classes: divided by the weights' sum, as torch does.

    Attributes:
        class_weights: Weight of each class, background first (or of each region); none means
            equal. The planner derives them from how frequent the classes are.
    """

    needs_class_weights: ClassVar[bool] = True

    kind: Literal["weighted_cross_entropy"] = "weighted_cross_entropy"
    class_weights: tuple[PositiveFloat, ...] | None = None

    @override
    def build(self) -> LossFunction:
        return partial(mean_cross_entropy, class_weights=self.class_weights)
