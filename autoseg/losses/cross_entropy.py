"""Cross-entropy: the negative log-probability of each voxel's true class.

Source: Ma et al., Medical Image Analysis 71 (2021), equation 1; torch's `cross_entropy`.
"""

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import PositiveFloat
from torch import Tensor
from typing_extensions import override

from autoseg.core.device import to_device
from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import (
    LOSSES,
    Loss,
    Targets,
    Valid,
    at_least_float32,
    is_regional,
    log_probabilities,
    masked_mean,
)

ClassWeights = tuple[PositiveFloat, ...] | None
"""Weight of each class, background first, or of each region; None means equal weights."""

Terms = Float[Tensor, "batch terms *space"]
"""Loss per voxel: one term for softmax over classes, or one term per region."""


@LOSSES.register
class CrossEntropy(Loss):
    """Mean cross-entropy over the valid voxels; binary cross-entropy per region for regions."""

    kind: Literal["cross_entropy"] = "cross_entropy"

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        return mean_cross_entropy(logits, labels, valid)


def mean_cross_entropy(
    logits: LogitsBatch,
    labels: Targets,
    valid: Valid = None,
    *,
    class_weights: ClassWeights = None,
    scores: LogitsBatch | None = None,
) -> Scalar:
    """Compute the cross-entropy averaged over the valid voxels, and over regions.

    With weights, the result is the weighted mean, as in `torch.nn.functional.cross_entropy`. Each
    term has the weight of the true class, or of the region.

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        valid: Voxels that count, `batch *space`; None means all.
        class_weights: Weights of the classes or regions; None means equal weights.
        scores: `log_probabilities(logits, labels)`, if already computed.
    """
    if is_regional(logits, labels) or valid is not None:
        terms = cross_entropy_terms(logits, labels, scores=scores)
        return mean_of_terms(terms, valid, term_weights(terms, labels, class_weights))
    scores = log_probabilities(logits, labels) if scores is None else scores
    weight = None if class_weights is None else _weights_like(class_weights, scores)
    return F.nll_loss(scores, labels.long(), weight=weight)


def cross_entropy_terms(
    logits: LogitsBatch, labels: Targets, *, scores: LogitsBatch | None = None
) -> Terms:
    """Compute the cross-entropy of each voxel, or of each voxel and region.

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        scores: `log_probabilities(logits, labels)`, if already computed.
    """
    if is_regional(logits, labels):
        wide = at_least_float32(logits)
        return F.binary_cross_entropy_with_logits(wide, labels.to(wide.dtype), reduction="none")
    scores = log_probabilities(logits, labels) if scores is None else scores
    return F.nll_loss(scores, labels.long(), reduction="none")[:, None]


def term_weights(terms: Terms, labels: Targets, class_weights: ClassWeights) -> Terms | None:
    """Return the weight of each term: the weight of the voxel's true class, or of the region.

    Args:
        terms: Loss per voxel, from `cross_entropy_terms`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        class_weights: Weights of the classes or regions; None means equal weights.

    Returns:
        Weights of the shape of `terms`; None for equal weights.
    """
    if class_weights is None:
        return None
    weight = _weights_like(class_weights, terms)
    if is_regional(terms, labels):
        return weight.view(-1, *[1] * (terms.ndim - 2)).expand_as(terms)
    return weight[labels.long()][:, None]


def _weights_like(class_weights: tuple[float, ...], like: Tensor) -> Float[Tensor, " terms"]:
    """Copy weights to the device and dtype of a tensor; the copy is non-blocking."""
    exact = np.float64 if like.dtype == torch.float64 else np.float32  # numpy has no bfloat16
    return to_device(np.array(class_weights, exact), like.device).to(like.dtype)


def mean_of_terms(terms: Terms, valid: Valid, weights: Terms | None = None) -> Scalar:
    """Compute the (weighted) mean over the valid voxels and regions; 0 if no voxel is valid.

    Args:
        terms: Loss per voxel, from `cross_entropy_terms`.
        valid: Voxels that count, `batch *space`; None means all.
        weights: Weight of each term, from `term_weights`; None means equal weights.
    """
    kept = None if valid is None else valid[:, None].expand_as(terms)
    return masked_mean(terms, kept, weights)
