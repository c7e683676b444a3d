"""Soft counts of true positives, false positives and false negatives, from probabilities."""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from autoseg.core.tensors import LogitsBatch
from autoseg.losses.base import (
    ForegroundBatch,
    Targets,
    Valid,
    foreground,
    log_probabilities,
    membership,
)

Pool = Literal["sample", "batch"]
"""Whether soft counts are summed per sample, or over the batch as if it were one volume."""

Counts = Float[Tensor, "samples channels"]
ProbabilitiesAndTruth = tuple[ForegroundBatch, ForegroundBatch]


@dataclass(frozen=True)
class SoftCounts:
    """Soft counts in voxels, per pooled sample and channel.

    Attributes:
        true_positives: Sum of probabilities inside the reference.
        false_positives: Sum of probabilities outside the reference.
        false_negatives: Sum of `1 - probability` inside the reference.
    """

    true_positives: Counts
    false_positives: Counts
    false_negatives: Counts


def soft_counts(probabilities: ForegroundBatch, truth: ForegroundBatch, pool: Pool) -> SoftCounts:
    """Compute the soft counts of each class or region.

    Args:
        probabilities: Probabilities of classes or regions, `batch channels *space`.
        truth: Masks of the classes or regions in the reference, `batch channels *space`.
        pool: Whether counts are summed per sample or over the batch.
    """
    dims, channels = pooled_dims(probabilities, pool), probabilities.shape[1]
    tp = (probabilities * truth).sum(dims).view(-1, channels)
    fp = probabilities.sum(dims).view(-1, channels) - tp
    fn = truth.sum(dims).view(-1, channels) - tp
    return SoftCounts(tp, fp, fn)


def probabilities_and_truth(
    logits: LogitsBatch, labels: Targets, *, with_background: bool = False
) -> ProbabilitiesAndTruth:
    """Compute the probabilities and reference masks of the foreground classes, or of all regions.

    Args:
        logits: Raw scores before softmax or sigmoid, `batch channels *space`.
        labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
        with_background: Whether to include the background class.

    Returns:
        Probabilities and masks, each `batch channels *space`.
    """
    probabilities = log_probabilities(logits, labels).exp()
    truth = membership(logits, labels)
    if with_background:
        return probabilities, truth
    return foreground(probabilities, labels), foreground(truth, labels)


def masked(
    probabilities: ForegroundBatch, truth: ForegroundBatch, valid: Valid
) -> ProbabilitiesAndTruth:
    """Set the ignored voxels to 0, so that they do not contribute to sums.

    Args:
        probabilities: Probabilities of classes or regions, `batch channels *space`.
        truth: Masks of the classes or regions in the reference, `batch channels *space`.
        valid: Voxels that count, `batch *space`; None means all.
    """
    if valid is None:
        return probabilities, truth
    return probabilities * valid[:, None], truth * valid[:, None]


def pooled_dims(values: ForegroundBatch, pool: Pool) -> list[int]:
    """Return the dimensions over which counts are summed."""
    space = list(range(2, values.ndim))
    return [0, *space] if pool == "batch" else space
