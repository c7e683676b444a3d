"""Unified focal loss: focal cross-entropy and focal Tversky with shared parameters.

Source: Yeung et al., Computerized Medical Imaging and Graphics 95 (2022), equations 9 to 14:
weight 0.5, delta 0.6, gamma 0.5.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import (
    LOSSES,
    Targets,
    Valid,
    bounded_power,
    is_regional,
    log_probabilities,
    mean_over_samples,
    membership,
)
from autoseg.losses.one_vs_rest import complement, log_complements
from autoseg.losses.overlap_loss import PooledLoss
from autoseg.losses.soft_counts import Counts, masked

Channels = Bool[Tensor, "batch _channels *space"] | Float[Tensor, "batch _channels *space"]
Side = tuple[Channels, Channels]
"""Log-probabilities and masks of the foreground or background channels."""


@LOSSES.register
class UnifiedFocal(PooledLoss):
    """Weighted sum of a focal cross-entropy and a focal Tversky loss; about 0 if perfect.

    The asymmetric form suppresses only the cross-entropy of the background and enhances only the
    Tversky loss of the foreground. The symmetric form applies both to both. The background of a
    region is its outside. Unlike the paper, classes are averaged instead of summed.

    Attributes:
        form: Asymmetric or symmetric form.
        cross_entropy_weight: Weight of the cross-entropy term; the Tversky term has the rest.
        delta: Weight of the foreground and of false negatives; the background and false positives
            have the weight `1 - delta`.
        gamma: Strength of the focus, in [0, 1]; 0.5 as published.
    """

    kind: Literal["unified_focal"] = "unified_focal"
    form: Literal["asymmetric", "symmetric"] = "asymmetric"
    cross_entropy_weight: Fraction = 0.5
    delta: Fraction = 0.6
    gamma: Fraction = 0.5

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        inside, outside = _sides(logits, labels)
        entropy = self._focal_entropy(inside, outside, valid)
        tversky = self._focal_tversky(inside, outside, valid)
        weight = self.cross_entropy_weight
        return weight * entropy + (1 - weight) * tversky

    def _focal_entropy(self, inside: Side, outside: Side, valid: Valid) -> Scalar:
        """Compute the mean over voxels, and over regions if there are several."""
        symmetric = self.form == "symmetric"
        foreground = _entropy(inside, 1 - self.gamma if symmetric else 0.0)
        background = _entropy(outside, 1 - self.gamma if symmetric else self.gamma)
        total = self.delta * foreground.sum(dim=1) + (1 - self.delta) * background.sum(dim=1)
        return mean_over_samples(total[:, None] / outside[0].shape[1], valid)

    def _focal_tversky(self, inside: Side, outside: Side, valid: Valid) -> Scalar:
        """Compute the mean over classes (including the background) and samples."""
        symmetric = self.form == "symmetric"
        exponent = self.gamma if symmetric else 1 - self.gamma
        foreground = bounded_power(1 - self._index(inside, valid), exponent)
        background = 1 - self._index(outside, valid)
        if symmetric:
            background = bounded_power(background, self.gamma)
        return torch.cat([background, foreground], dim=1).mean()

    def _index(self, side: Side, valid: Valid) -> Counts:
        pair = masked(side[0].exp(), side[1], valid)
        return self.tversky_index(*pair, fp_weight=1 - self.delta, fn_weight=self.delta)


def _sides(logits: LogitsBatch, labels: Targets) -> tuple[Side, Side]:
    """Split into foreground and background (class 0, or the outside of each region)."""
    log_p, truth = log_probabilities(logits, labels), membership(logits, labels)
    if is_regional(logits, labels):
        return (log_p, truth), (log_complements(logits, labels), complement(truth))
    return (log_p[:, 1:], truth[:, 1:]), (log_p[:, :1], truth[:, :1])


def _entropy(side: Side, exponent: float) -> Channels:
    log_p, truth = side
    focus = bounded_power(-torch.expm1(log_p), exponent) if exponent else 1.0
    return -focus * truth * log_p
