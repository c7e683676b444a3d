"""Asymmetric similarity loss: the soft F-beta score, which favours sensitivity over precision.

Source: Hashemi et al., IEEE Access 7 (2019), equations 2 and 3, beta = 1.5.
"""

from typing import Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import Scalar
from autoseg.losses.base import LOSSES, ForegroundBatch
from autoseg.losses.overlap_loss import OverlapLoss


@LOSSES.register
class Asymmetric(OverlapLoss):
    """`1 - F_beta`: a Tversky loss with weights `1/(1+b²)` for FP and `b²/(1+b²)` for FN.

    Averaged over the foreground classes or regions, then over samples; in [0, 1].

    Attributes:
        beta: A false negative weighs beta² times as much as a false positive; 1 is Dice.
    """

    kind: Literal["asymmetric"] = "asymmetric"
    beta: PositiveFloat = 1.5

    @override
    def of_probabilities(self, probabilities: ForegroundBatch, truth: ForegroundBatch) -> Scalar:
        fp_weight = 1 / (1 + self.beta**2)
        index = self.tversky_index(
            probabilities, truth, fp_weight=fp_weight, fn_weight=1 - fp_weight
        )
        return 1 - index.mean()
