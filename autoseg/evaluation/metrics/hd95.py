"""95th percentile of the Hausdorff distance (HD95)."""

from typing import Literal

import numpy as np
from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric

PERCENTILE = 95


@METRICS.register
class Hausdorff95(Metric):
    """Larger of the two directed 95th percentiles of surface distances, mm.

    Percentiles are interpolated linearly, as in MONAI. Undefined if one mask is empty.

    Source: Taha & Hanbury, "Metrics for evaluating 3D medical image segmentation", BMC Medical
        Imaging 15 (2015).
    """

    title = "HD95"
    unit = "length"
    better = "lower"
    cost = "distances"
    in_table = True
    in_model_card = True

    kind: Literal["hd95_mm"] = "hd95_mm"

    @override
    def compute(self, pair: Comparison) -> float | None:
        if pair.distances is None:
            return None
        return max(float(np.percentile(each, PERCENTILE)) for each in pair.distances)
