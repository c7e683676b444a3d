"""How many voxels are found, wrongly found and missed, with probabilities in place of decisions."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from autoseg.core.tensors import LogitsBatch, ValidMask
from autoseg.losses.base import (
    ForegroundBatch,
    Targets,
    foreground,
    log_probabilities,
    membership,
)

Pool = Literal["sample", "batch"]
"""Over what soft counts are summed: each sample alone, or the batch as one volume."""

Counts = Float[Tensor, "samples channels"]


@dataclass(frozen=True)
class SoftCounts:
    """Soft counts in voxels, per pooled sample and channel.

    Attributes:
        true_positives: Probability inside the reference.
        false_positives: Probability outside it.
        false_negatives: What is missing from probability 1 inside it.
    """

    true_positives: Counts
    false_positives: Counts
    false_negatives: Counts


def soft_counts(
    probabilities: ForegroundBatch, truth: ForegroundBatch, valid: ValidMask | None, pool: Pool
) -> SoftCounts:
    """Return the soft counts of the valid voxels.

    Args:
        probabilities: Of classes or regions.
        truth: Which voxels belong to them.
        valid: Voxels that count.
        pool: Over what counts are summed.
    """
    if valid is not None:
        probabilities, truth = probabilities * valid[:, None], truth * valid[:, None]
    dims = pooled_dims(probabilities, pool)
    found = (probabilities * truth).sum(dims, keepdim=True)
    wrong = probabilities.sum(dims, keepdim=True) - found
    missed = truth.sum(dims, keepdim=True) - found
    channels = probabilities.shape[1]
    return SoftCounts(*(count.reshape(-1, channels) for count in (found, wrong, missed)))


def predicted_and_true(
    logits: LogitsBatch, labels: Targets, *, with_background: bool = False
) -> tuple[ForegroundBatch, ForegroundBatch]:
    """Return probabilities and memberships of the foreground, or of all classes; of all regions."""
    probabilities = log_probabilities(logits, labels).exp()
    truth = membership(logits, labels)
    if with_background:
        return probabilities, truth
    return foreground(probabilities, logits, labels), foreground(truth, logits, labels)


def foreground_counts(
    logits: LogitsBatch, labels: Targets, valid: ValidMask | None, pool: Pool
) -> SoftCounts:
    """Return the soft counts of every foreground class, or of every region."""
    return soft_counts(*predicted_and_true(logits, labels), valid, pool)


def pooled_dims(values: ForegroundBatch, pool: Pool) -> list[int]:
    """Return the dimensions that counts are summed over."""
    space = list(range(2, values.ndim))
    return [0, *space] if pool == "batch" else space
