"""Average symmetric surface distance (ASSD)."""

from typing import Literal

import numpy as np
from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class AverageSurfaceDistance(Metric):
    """Mean distance over the surface voxels of both masks, mm; undefined if one mask is empty.

    Source: Heimann et al., "Comparison and evaluation of methods for liver segmentation from CT
        datasets", IEEE TMI 28 (2009).
    """

    title = "ASSD"
    unit = "length"
    better = "lower"
    cost = "distances"
    in_model_card = True

    kind: Literal["assd_mm"] = "assd_mm"

    @override
    def compute(self, pair: Comparison) -> float | None:
        return None if pair.distances is None else float(np.concatenate(pair.distances).mean())
