"""Cross-entropy in which inside and outside of every class weigh the same.

Source: Xie & Tu, ICCV 2015 (holistically-nested edge detection), equation 2.
"""

from typing import Literal

from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import (
    LOSSES,
    Loss,
    LossFunction,
    Targets,
    mean_by_sample,
    mean_of_each,
)
from autoseg.losses.one_against_rest import one_against_rest, outside_of


@LOSSES.register
class BalancedCrossEntropy(Loss):
    """Mean of `-b·y·log p - (1 - b)·(1 - y)·log(1 - p)`, b the share of voxels outside.

    For each foreground class (or region) against all others; b is counted in every sample. Where a
    class is absent, b is 1, and nothing is learnt about it from that sample.

    Departs: the published loss has one class, and is summed over voxels.
    """

    kind: Literal["balanced_cross_entropy"] = "balanced_cross_entropy"

    @override
    def build(self) -> LossFunction:
        return balanced_cross_entropy


def balanced_cross_entropy(
    logits: LogitsBatch, labels: Targets, valid: ValidMask | None = None
) -> Scalar:
    """Return the balanced cross-entropy averaged over valid voxels, classes and samples."""
    log_inside, log_outside, truth = one_against_rest(logits, labels)
    share_inside = mean_of_each(truth.to(log_inside.dtype), valid)
    costs = (1 - share_inside) * truth * log_inside + share_inside * outside_of(truth) * log_outside
    return -mean_by_sample(costs, valid)
