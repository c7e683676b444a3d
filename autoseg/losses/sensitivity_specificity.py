"""Sensitivity-specificity loss: mean squared errors inside and outside of each class.

Source: Brosch et al., MICCAI 2015, equation 5, sensitivity ratio 0.05.
"""

from typing import Literal

from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid
from autoseg.losses.overlap_loss import PooledLoss
from autoseg.losses.soft_counts import masked, pooled_dims, probabilities_and_truth


@LOSSES.register
class SensitivitySpecificity(PooledLoss):
    """`r·(mean squared error inside) + (1 - r)·(mean squared error outside)`.

    Averaged over the foreground classes or regions, then over samples; in [0, 1]. If the inside or
    outside is empty, its error is 0. `smooth` is added to the volumes; it avoids division by zero.

    Attributes:
        sensitivity_ratio: Weight r of the error inside.
    """

    kind: Literal["sensitivity_specificity"] = "sensitivity_specificity"
    sensitivity_ratio: Fraction = 0.05

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        probabilities, truth = probabilities_and_truth(logits, labels)
        inside = truth.to(probabilities.dtype)
        errors = (probabilities - inside) ** 2
        inside, outside = masked(inside, 1 - inside, valid)
        summed = pooled_dims(probabilities, self.pool)
        error_inside = (errors * inside).sum(summed) / (inside.sum(summed) + self.smooth)
        error_outside = (errors * outside).sum(summed) / (outside.sum(summed) + self.smooth)
        ratio = self.sensitivity_ratio
        return (ratio * error_inside + (1 - ratio) * error_outside).mean()
