"""One-vs-rest log-probabilities of foreground classes and regions."""

import torch
import torch.nn.functional as F

from autoseg.core.tensors import LogitsBatch
from autoseg.losses.base import (
    ForegroundBatch,
    Targets,
    at_least_float32,
    foreground,
    is_regional,
    log_probabilities,
    membership,
)

OneVsRest = tuple[ForegroundBatch, ForegroundBatch, ForegroundBatch]


def one_vs_rest(logits: LogitsBatch, labels: Targets) -> OneVsRest:
    """Compute log p, log(1 - p) and the mask of each foreground class, or of each region."""
    log_inside = foreground(log_probabilities(logits, labels), labels)
    log_outside = foreground(log_complements(logits, labels), labels)
    return log_inside, log_outside, foreground(membership(logits, labels), labels)


def log_complements(logits: LogitsBatch, labels: Targets) -> LogitsBatch:
    """Compute log(1 - p) of each class or region, accurate even where p rounds to 1."""
    if is_regional(logits, labels):
        return F.logsigmoid(-at_least_float32(logits))
    scores = log_probabilities(logits, labels)
    top = scores.argmax(dim=1, keepdim=True)
    others = scores.scatter(1, top, -torch.inf).logsumexp(dim=1, keepdim=True)
    # Only the top class can have p near 1, where computing 1 - p loses precision.
    is_top = torch.zeros_like(scores, dtype=torch.bool).scatter(1, top, value=True)
    safe = scores.masked_fill(is_top, -1.0)
    return torch.where(is_top, others, torch.log1p(-safe.exp()))


def complement(truth: ForegroundBatch) -> ForegroundBatch:
    """Return the complement of masks."""
    return ~truth if truth.dtype == torch.bool else 1 - truth
