"""Intersection over union (Jaccard index)."""

from typing import Literal

from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class IoU(Metric):
    """|P ∩ R| / |P ∪ R|, 0 … 1; 0 if one mask is empty.

    Source: Taha & Hanbury, "Metrics for evaluating 3D medical image segmentation", BMC Medical
        Imaging 15 (2015).
    """

    title = "IoU"
    in_model_card = True

    kind: Literal["iou"] = "iou"

    @override
    def compute(self, pair: Comparison) -> float:
        return pair.common / (pair.predicted + pair.expected - pair.common)
