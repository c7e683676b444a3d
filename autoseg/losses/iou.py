"""Soft intersection over union (Jaccard index) loss.

Source: Rahman & Wang, ISVC 2016, equations 2 to 4.
"""

from typing import Literal

from typing_extensions import override

from autoseg.core.tensors import Scalar
from autoseg.losses.base import LOSSES, ForegroundBatch
from autoseg.losses.overlap_loss import OverlapLoss


@LOSSES.register
class IntersectionOverUnion(OverlapLoss):
    """`1 - TP / (TP + FP + FN)`, averaged over the foreground classes or regions, then samples.

    In [0, 1].
    """

    kind: Literal["iou"] = "iou"

    @override
    def of_probabilities(self, probabilities: ForegroundBatch, truth: ForegroundBatch) -> Scalar:
        return 1 - self.tversky_index(probabilities, truth, fp_weight=1.0, fn_weight=1.0).mean()
