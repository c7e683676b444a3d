"""Focal loss: cross-entropy that down-weights well-classified voxels.

Source: Lin et al., ICCV 2017, equations 4 and 5. Unlike the paper, the mean is taken over all
voxels instead of the positive ones, as usual in segmentation.
"""

from typing import Literal

import torch
from pydantic import NonNegativeFloat
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Loss, Targets, Valid, bounded_power, is_regional
from autoseg.losses.cross_entropy import (
    ClassWeights,
    Terms,
    cross_entropy_terms,
    mean_of_terms,
    term_weights,
)


@LOSSES.register
class Focal(Loss):
    """Mean of `(1 - p)^gamma · cross-entropy`, where p is the probability of the true class.

    Averaged over the valid voxels, and over regions.

    Attributes:
        gamma: Focusing exponent; larger values down-weight easy voxels more, 0 is cross-entropy.
        alpha: Factor of foreground voxels; background voxels have the factor `1 - alpha`. None
            means a factor of 1 for all.
        class_weights: Weight of each class in the mean, background first (or of each
            region); None means equal weights.
    """

    kind: Literal["focal"] = "focal"
    gamma: NonNegativeFloat = 2.0
    alpha: Fraction | None = None
    class_weights: ClassWeights = None

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        terms = cross_entropy_terms(logits, labels)
        focused = bounded_power(-torch.expm1(-terms), self.gamma) * terms
        if self.alpha is not None:
            focused = focused * _alpha_factor(terms, logits, labels, self.alpha)
        return mean_of_terms(focused, valid, term_weights(terms, labels, self.class_weights))


def _alpha_factor(terms: Terms, logits: LogitsBatch, labels: Targets, alpha: float) -> Terms:
    """Return `alpha` in the foreground and `1 - alpha` in the background."""
    mask = labels if is_regional(logits, labels) else (labels > 0)[:, None]
    inside = mask.to(terms.dtype)
    return alpha * inside + (1 - alpha) * (1 - inside)
