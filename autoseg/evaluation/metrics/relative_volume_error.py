"""Volume error relative to the reference."""

from typing import Literal

from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class RelativeVolumeError(Metric):
    """(|P| - |R|) / |R|, at least -1; undefined if the reference is empty.

    Negative for under-segmentation, so that the mean shows a bias.

    Source: Heimann et al., "Comparison and evaluation of methods for liver segmentation from CT
        datasets", IEEE TMI 28 (2009).
    """

    title = "volume error"
    better = "nearest zero"
    is_symmetric = False

    kind: Literal["relative_volume_error"] = "relative_volume_error"

    @override
    def compute(self, pair: Comparison) -> float | None:
        return (pair.predicted - pair.expected) / pair.expected if pair.expected else None
