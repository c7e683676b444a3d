"""Hausdorff distance (HD)."""

from typing import Literal

from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class Hausdorff(Metric):
    """Largest distance of a surface voxel to the other surface, mm; undefined if one mask is empty.

    Source: Taha & Hanbury, "Metrics for evaluating 3D medical image segmentation", BMC Medical
        Imaging 15 (2015).
    """

    title = "HD"
    unit = "length"
    better = "lower"
    cost = "distances"

    kind: Literal["hd_mm"] = "hd_mm"

    @override
    def compute(self, pair: Comparison) -> float | None:
        if pair.distances is None:
            return None
        return max(float(directed.max()) for directed in pair.distances)
