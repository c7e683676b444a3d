"""Volume error relative to the mean of both volumes."""

from typing import Literal

from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class SymmetricVolumeError(Metric):
    """| |P| - |R| | divided by the mean of both volumes, 0 … 2; 2 if one mask is empty.

    A share, not a percentage. Unlike the relative volume error, it is defined for an empty
    reference, and prediction and reference can be swapped.

    Source: the absolute value of "volume similarity" in ITK, Tustison & Gee, "Introducing Dice,
        Jaccard, and other label overlap measures to ITK", Insight Journal (2009); 2 (1 - volumetric
        similarity) in Taha & Hanbury, BMC Medical Imaging 15 (2015), as in the VISCERAL challenges.
    """

    title = "symmetric error"
    better = "lower"

    kind: Literal["symmetric_volume_error"] = "symmetric_volume_error"

    @override
    def compute(self, pair: Comparison) -> float:
        return 2 * abs(pair.predicted - pair.expected) / (pair.predicted + pair.expected)
