"""Focal loss: cross-entropy that cares less for what is well classified already.

Source: Lin et al., ICCV 2017, equations 4 and 5. Departs: the mean is over voxels, not over the
positive ones, as usual in segmentation.
"""

from functools import partial
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets, is_regional
from autoseg.losses.cross_entropy import (
    ClassWeights,
    Terms,
    cross_entropy_terms,
    mean_of_terms,
    term_weights,
)
from autoseg.losses.powers import bounded_power


@LOSSES.register
class Focal(Loss):
    """Mean of `(1 - p)^gamma · cross-entropy`, p the probability of the truth.

    Attributes:
        gamma: How little easy voxels count; 0 is cross-entropy.
        alpha: Factor of foreground voxels, that of background voxels being `1 - alpha`; none
            means neither (1 for all).
        class_weights: Weight of each class in the mean, background first (or of each region); none
            means equal.
    """

    kind: Literal["focal"] = "focal"
    gamma: NonNegativeFloat = 2.0
    alpha: Fraction | None = None
    class_weights: tuple[PositiveFloat, ...] | None = None

    @override
    def build(self) -> LossFunction:
        return partial(
            focal_loss, gamma=self.gamma, alpha=self.alpha, class_weights=self.class_weights
        )


def focal_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    gamma: float,
    alpha: float | None = None,
    class_weights: ClassWeights = None,
) -> Scalar:
    """Return the focal loss averaged over the valid voxels, and over regions."""
    terms = cross_entropy_terms(logits, labels)
    focused = bounded_power(-torch.expm1(-terms), gamma) * terms
    if alpha is not None:
        focused = focused * _side_factor(terms, logits, labels, alpha)
    return mean_of_terms(focused, valid, term_weights(terms, labels, class_weights))


def _side_factor(terms: Terms, logits: LogitsBatch, labels: Targets, alpha: float) -> Terms:
    """Return alpha in the foreground and `1 - alpha` in the background."""
    inside = labels if is_regional(logits, labels) else (labels > 0)[:, None]
    side = inside.to(terms.dtype)
    return alpha * side + (1 - alpha) * (1 - side)
