"""Unified focal loss: focal cross-entropy and focal Tversky with shared parameters.

Source: Yeung et al., Computerized Medical Imaging and Graphics 95 (2022), equations 9 to 14:
weight 0.5, delta 0.6, gamma 0.5.
"""

from functools import partial
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import PositiveFloat
from torch import Tensor
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import (
    LOSSES,
    Loss,
    LossFunction,
    Targets,
    is_regional,
    log_probabilities,
    mean_over_samples,
    membership,
)
from autoseg.losses.one_vs_rest import complement, log_complements
from autoseg.losses.powers import bounded_power
from autoseg.losses.soft_counts import Counts, Pool, soft_counts
from autoseg.losses.tversky import tversky_index

Channels = Bool[Tensor, "batch _channels *space"] | Float[Tensor, "batch _channels *space"]
Side = tuple[Channels, Channels]
"""Log-probabilities and masks of the foreground or background channels."""


@LOSSES.register
class UnifiedFocal(Loss):
    """Weighted sum of a focal cross-entropy and a focal Tversky loss.

    The asymmetric form suppresses only the cross-entropy of the background and enhances only the
    Tversky loss of the foreground. The symmetric form applies both to both. The background of a
    region is its outside. Unlike the paper, classes are averaged instead of summed.

    Attributes:
        form: Asymmetric or symmetric form.
        cross_entropy_weight: Weight of the cross-entropy term; the Tversky term has the rest.
        delta: Weight of the foreground and of false negatives; the background and false positives
            have the weight `1 - delta`.
        gamma: Strength of the focus, in [0, 1]; 0.5 as published.
        pool: Whether Tversky counts are summed per sample or over the batch.
        smooth: Added to numerator and denominator of Tversky, in voxels.
    """

    kind: Literal["unified_focal"] = "unified_focal"
    form: Literal["asymmetric", "symmetric"] = "asymmetric"
    cross_entropy_weight: Fraction = 0.5
    delta: Fraction = 0.6
    gamma: Fraction = 0.5
    pool: Pool = "sample"
    smooth: PositiveFloat = 1e-5

    @override
    def build(self) -> LossFunction:
        return partial(unified_focal_loss, config=self)


def unified_focal_loss(
    logits: LogitsBatch, labels: Targets, valid: ValidMask | None = None, *, config: UnifiedFocal
) -> Scalar:
    """Compute the weighted sum of both terms; about 0 for a perfect prediction.

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        config: Parameters of the loss.
    """
    inside, outside = _sides(logits, labels)
    entropy = _focal_entropy(inside, outside, valid, config)
    tversky = _focal_tversky(inside, outside, valid, config)
    weight = config.cross_entropy_weight
    return weight * entropy + (1 - weight) * tversky


def _sides(logits: LogitsBatch, labels: Targets) -> tuple[Side, Side]:
    """Split into foreground and background (class 0, or the outside of each region)."""
    log_p, truth = log_probabilities(logits, labels), membership(logits, labels)
    if is_regional(logits, labels):
        return (log_p, truth), (log_complements(logits, labels), complement(truth))
    return (log_p[:, 1:], truth[:, 1:]), (log_p[:, :1], truth[:, :1])


def _focal_entropy(
    inside: Side, outside: Side, valid: ValidMask | None, config: UnifiedFocal
) -> Scalar:
    """Compute the mean over voxels, and over regions if there are several."""
    symmetric = config.form == "symmetric"
    foreground = _entropy(inside, 1 - config.gamma if symmetric else 0.0)
    background = _entropy(outside, 1 - config.gamma if symmetric else config.gamma)
    total = config.delta * foreground.sum(dim=1) + (1 - config.delta) * background.sum(dim=1)
    return mean_over_samples(total[:, None] / outside[0].shape[1], valid)


def _entropy(side: Side, exponent: float) -> Channels:
    log_p, truth = side
    focus = bounded_power(-torch.expm1(log_p), exponent) if exponent else 1.0
    return -focus * truth * log_p


def _focal_tversky(
    inside: Side, outside: Side, valid: ValidMask | None, config: UnifiedFocal
) -> Scalar:
    """Compute the mean over classes (including the background) and samples."""
    symmetric = config.form == "symmetric"
    foreground = bounded_power(
        1 - _index(inside, valid, config), config.gamma if symmetric else 1 - config.gamma
    )
    background = 1 - _index(outside, valid, config)
    if symmetric:
        background = bounded_power(background, config.gamma)
    return torch.cat([background, foreground], dim=1).mean()


def _index(side: Side, valid: ValidMask | None, config: UnifiedFocal) -> Counts:
    counts = soft_counts(side[0].exp(), side[1], valid, config.pool)
    return tversky_index(
        counts, fp_weight=1 - config.delta, fn_weight=config.delta, smooth=config.smooth
    )
