"""Cross-entropy: minus the logarithm of what each voxel's true class scores.

Source: Ma et al., Medical Image Analysis 71 (2021), equation 1; torch's `cross_entropy`.
"""

from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from autoseg.core.device import to_device
from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import (
    LOSSES,
    Loss,
    LossFunction,
    Targets,
    at_least_float32,
    is_regional,
    log_probabilities,
    masked_mean,
)

ClassWeights = tuple[float, ...] | None
"""Weight of each class, background first, or of each region; None means equal."""

Terms = Float[Tensor, "batch terms *space"]
"""What the voxels cost: one term for the classes together, or one per region."""


@LOSSES.register
class CrossEntropy(Loss):
    """Mean over the valid voxels; of regions, the mean of their binary cross-entropies."""

    kind: Literal["cross_entropy"] = "cross_entropy"

    @override
    def build(self) -> LossFunction:
        return partial(mean_cross_entropy, class_weights=None)


def mean_cross_entropy(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    class_weights: ClassWeights = None,
    scores: LogitsBatch | None = None,
) -> Scalar:
    """Return the cross-entropy averaged over the valid voxels, and over regions.

    With weights, the mean is that by the weights of the true classes, as torch has it, or by those
    of the regions.

    Args:
        logits: Raw scores, before softmax or sigmoid.
        labels: Class indices in `[0, classes)`, or a mask per region.
        valid: Voxels that count.
        class_weights: Of the classes, or of the regions.
        scores: `log_probabilities(logits, labels)`, from callers that have them.
    """
    if is_regional(logits, labels) or valid is not None:
        terms = cross_entropy_terms(logits, labels, scores=scores)
        return mean_of_terms(terms, valid, term_weights(terms, labels, class_weights))
    scores = log_probabilities(logits, labels) if scores is None else scores
    weight = None if class_weights is None else _sent_weights(class_weights, scores)
    return F.nll_loss(scores, labels.long(), weight=weight)


def cross_entropy_terms(
    logits: LogitsBatch, labels: Targets, *, scores: LogitsBatch | None = None
) -> Terms:
    """Return the cross-entropy of every voxel: of its class, or of each region."""
    if is_regional(logits, labels):
        wide = at_least_float32(logits)
        return F.binary_cross_entropy_with_logits(wide, labels.to(wide.dtype), reduction="none")
    scores = log_probabilities(logits, labels) if scores is None else scores
    return F.nll_loss(scores, labels.long(), reduction="none")[:, None]


def term_weights(terms: Terms, labels: Targets, class_weights: ClassWeights) -> Terms | None:
    """Return the weight of every term: that of the voxel's class, or of the region."""
    if class_weights is None:
        return None
    weight = _sent_weights(class_weights, terms)
    if labels.ndim == terms.ndim:
        return weight.view(-1, *[1] * (terms.ndim - 2)).expand_as(terms)
    return weight[labels.long()][:, None]


def _sent_weights(class_weights: tuple[float, ...], like: Tensor) -> Float[Tensor, " terms"]:
    """Return weights as the type of a tensor, where it is; nobody waits until they are there."""
    exact = np.float64 if like.dtype == torch.float64 else np.float32  # numpy has no bfloat16
    return to_device(np.array(class_weights, exact), like.device).to(like.dtype)


def mean_of_terms(terms: Terms, valid: ValidMask | None, weights: Terms | None = None) -> Scalar:
    """Return the (weighted) mean over the valid voxels, and over regions; 0 if there is none."""
    kept = None if valid is None else valid[:, None].expand_as(terms)
    return masked_mean(terms, kept, weights)
