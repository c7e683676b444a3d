"""Tversky loss: an overlap with different weights for false positives and false negatives.

Source: Salehi et al., MLMI 2017, equations 3 and 4: 0.3 for false positives, 0.7 for false
negatives, which the paper found best for small lesions.
"""

from typing import Literal

from pydantic import NonNegativeFloat
from typing_extensions import override

from autoseg.core.tensors import Scalar
from autoseg.losses.base import LOSSES, ForegroundBatch
from autoseg.losses.overlap_loss import OverlapLoss


@LOSSES.register
class Tversky(OverlapLoss):
    """`1 - TP / (TP + a·FP + b·FN)`, averaged over the foreground classes or regions, then samples.

    In [0, 1]. Weights of 0.5 and 0.5 give Dice; weights of 1 and 1 give intersection over union.

    Attributes:
        fp_weight: Weight a of false positives.
        fn_weight: Weight b of false negatives; larger values increase sensitivity and the number
            of false positives.
    """

    kind: Literal["tversky"] = "tversky"
    fp_weight: NonNegativeFloat = 0.3
    fn_weight: NonNegativeFloat = 0.7

    @override
    def of_probabilities(self, probabilities: ForegroundBatch, truth: ForegroundBatch) -> Scalar:
        index = self.tversky_index(
            probabilities, truth, fp_weight=self.fp_weight, fn_weight=self.fn_weight
        )
        return 1 - index.mean()
