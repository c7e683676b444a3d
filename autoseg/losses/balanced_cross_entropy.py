"""Cross-entropy that gives the inside and the outside of each class the same total weight.

Source: Xie & Tu, ICCV 2015 (holistically-nested edge detection), equation 2.
"""

from typing import Literal

from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Loss, Targets, Valid, mean_over_samples, mean_per_channel
from autoseg.losses.one_vs_rest import complement, one_vs_rest


@LOSSES.register
class BalancedCrossEntropy(Loss):
    """Mean of `-b·y·log p - (1 - b)·(1 - y)·log(1 - p)`, where b is the share of voxels outside.

    Computed one-vs-rest for each foreground class (or region), with b counted per sample; averaged
    over valid voxels, classes and samples. If a class is absent from a sample, b is 1 and the class
    does not contribute.

    Unlike the published loss, it supports several classes and averages over voxels instead of
    summing.
    """

    kind: Literal["balanced_cross_entropy"] = "balanced_cross_entropy"

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        log_inside, log_outside, truth = one_vs_rest(logits, labels)
        share_inside = mean_per_channel(truth.to(log_inside.dtype), valid)
        inside = (1 - share_inside) * truth * log_inside
        outside = share_inside * complement(truth) * log_outside
        return -mean_over_samples(inside + outside, valid)
