"""Share of the prediction inside the reference."""

from typing import Literal

from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class Precision(Metric):
    """|P ∩ R| / |P|, 0 … 1; undefined if the prediction is empty.

    Source: Taha & Hanbury, "Metrics for evaluating 3D medical image segmentation", BMC Medical
        Imaging 15 (2015).
    """

    title = "precision"
    is_symmetric = False

    kind: Literal["precision"] = "precision"

    @override
    def compute(self, pair: Comparison) -> float | None:
        return pair.common / pair.predicted if pair.predicted else None
