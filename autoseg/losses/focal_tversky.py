"""Focal Tversky loss: a power of the Tversky loss per class, which emphasises hard classes.

Source: Abraham & Khan, ISBI 2019, equation 4, with gamma = 4/3.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat
from typing_extensions import override

from autoseg.core.tensors import Scalar
from autoseg.losses.base import LOSSES, ForegroundBatch, bounded_power
from autoseg.losses.overlap_loss import OverlapLoss

Gamma = Annotated[float, Field(ge=1, le=3)]
"""Exponent parameter, in the range of the paper."""


@LOSSES.register
class FocalTversky(OverlapLoss):
    """`(1 - Tversky index)^(1 / gamma)`, averaged over the foreground or regions, then samples.

    In [0, 1]. Losses below 1e-6 are clamped, because the gradient would be infinite at a perfect
    index. A perfect prediction therefore has the value 3e-5 instead of 0. Unlike the paper, classes
    are averaged instead of summed.

    Attributes:
        gamma: Inverse of the exponent; values above 1 emphasise poorly segmented classes.
        fp_weight: Weight of false positives.
        fn_weight: Weight of false negatives.
    """

    kind: Literal["focal_tversky"] = "focal_tversky"
    gamma: Gamma = 4 / 3
    fp_weight: NonNegativeFloat = 0.3
    fn_weight: NonNegativeFloat = 0.7

    @override
    def of_probabilities(self, probabilities: ForegroundBatch, truth: ForegroundBatch) -> Scalar:
        index = self.tversky_index(
            probabilities, truth, fp_weight=self.fp_weight, fn_weight=self.fn_weight
        )
        return bounded_power(1 - index, 1 / self.gamma).mean()
