"""Absolute difference of the volumes."""

from math import prod
from typing import Literal

from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class AbsoluteVolumeError(Metric):
    """| |P| - |R| |, mL; undefined for 2-D masks, which have no volume.

    Source: Heimann et al., "Comparison and evaluation of methods for liver segmentation from CT
        datasets", IEEE TMI 28 (2009).
    """

    title = "|error|"
    unit = "volume"
    better = "lower"

    kind: Literal["absolute_volume_error_ml"] = "absolute_volume_error_ml"

    @override
    def compute(self, pair: Comparison) -> float | None:
        if len(pair.spacing) != 3:
            return None
        return abs(pair.predicted - pair.expected) * (prod(pair.spacing) / 1000)
