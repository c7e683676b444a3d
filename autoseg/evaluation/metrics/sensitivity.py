"""Share of the reference that is predicted (recall)."""

from typing import Literal

from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class Sensitivity(Metric):
    """|P ∩ R| / |R|, 0 … 1; undefined if the reference is empty.

    Source: Taha & Hanbury, "Metrics for evaluating 3D medical image segmentation", BMC Medical
        Imaging 15 (2015).
    """

    title = "sensitivity"
    is_symmetric = False

    kind: Literal["sensitivity"] = "sensitivity"

    @override
    def compute(self, pair: Comparison) -> float | None:
        return pair.common / pair.expected if pair.expected else None
