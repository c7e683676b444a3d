"""From the class indices of a batch to what its loss compares with: classes or regions, or nothing.

Prepared cases hold one class index per voxel, also where regions overlap and where nobody
annotated; that shrinks, crops and rotates as one map. Only here, at the loss, it is unfolded.
"""

from collections.abc import Callable
from functools import cache, partial
from math import log
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from autoseg.core.device import to_device
from autoseg.core.labels import LabelScheme
from autoseg.core.tensors import LabelBatch, LogitsBatch, Scalar, ValidMask
from autoseg.losses import LossFunction
from autoseg.losses.base import Targets

Objective: TypeAlias = Callable[[LogitsBatch, LabelBatch], Scalar]
"""Compares logits with class indices; lower is better."""

RegionTable = Bool[Tensor, "classes regions"]
"""Whether each class belongs to each region."""

RegionTables: TypeAlias = Callable[[torch.device], RegionTable]
"""Where it is needed."""

TargetCounts = Int[Tensor, "3 targets"]
"""Voxels that are, per target: predicted and true; predicted; true."""

LEAST_SHARE = 1e-6
"""Shares are kept this far from 0 and 1, so that their logarithms are finite."""


def objective(loss: LossFunction, labels: LabelScheme) -> Objective:
    """Return the loss as a function of logits and class indices.

    Without regions and ignored voxels that is the loss itself.
    """
    if not labels.regions and labels.ignored_index is None:
        return loss

    tables = region_tables(labels)

    def on_targets(logits: LogitsBatch, classes: LabelBatch) -> Scalar:
        return loss(logits, *targets_of(classes, labels, tables))

    return on_targets


def targets_of(
    classes: LabelBatch, labels: LabelScheme, tables: RegionTables | None = None
) -> tuple[Targets, ValidMask | None]:
    """Return class indices or a mask per region, and which voxels count.

    Args:
        classes: Class indices, `labels.ignored_index` where nobody annotated.
        labels: The scheme.
        tables: Its `region_tables`, from callers that keep them.

    Returns:
        Class indices (0 where ignored) or region masks; and the voxels that count, None for all.
    """
    valid = None
    if labels.ignored_index is not None:
        valid = classes != labels.ignored_index
        classes = classes.masked_fill(~valid, 0)
    if not labels.regions:
        return classes, valid
    table = (tables or region_tables(labels))(classes.device)
    return table[classes.long()].movedim(-1, 1), valid


def region_tables(labels: LabelScheme) -> RegionTables:
    """Return what sends the table of a scheme's regions to a device, and once only."""
    return cache(partial(_region_table, labels))


def _region_table(labels: LabelScheme, device: torch.device) -> RegionTable:
    """Return which regions each class belongs to, on a device."""
    table = np.zeros((labels.num_classes, len(labels.regions)), dtype=bool)
    for region, members in enumerate(labels.target_classes):
        table[list(members), region] = True
    return to_device(table, device)


def target_counts(logits: LogitsBatch, classes: LabelBatch, labels: LabelScheme) -> TargetCounts:
    """Return how many annotated voxels of each target are predicted, true, or both."""
    targets, valid = targets_of(classes, labels)
    if labels.regions:
        return _region_counts(logits > 0, targets, valid)
    predicted = logits.argmax(dim=1)
    if valid is not None:
        predicted, targets = predicted[valid], targets[valid]
    both = targets[targets == predicted]
    counted = [
        torch.bincount(which.flatten(), minlength=logits.shape[1])
        for which in (both, predicted, targets)
    ]
    return torch.stack(counted)[:, 1:]


def head_biases(frequencies: tuple[float, ...], labels: LabelScheme) -> tuple[float, ...]:
    """Return the logits with which an untrained network predicts how frequent each target is.

    Args:
        frequencies: Share of each class among all annotated voxels, background first.
        labels: The scheme.

    Source: Lin et al., ICCV 2017, section 3.3, which has it for the sigmoid.
    """
    if not labels.regions:
        return tuple(log(max(share, LEAST_SHARE)) for share in frequencies)
    shares = (sum(frequencies[index] for index in group) for group in labels.target_classes)
    bounded = (min(max(share, LEAST_SHARE), 1 - LEAST_SHARE) for share in shares)
    return tuple(log(share / (1 - share)) for share in bounded)


def _region_counts(
    predicted: Bool[Tensor, "batch regions *space"], true: Targets, valid: ValidMask | None
) -> TargetCounts:
    if valid is not None:  # the ignored are in no region already
        predicted = predicted & valid[:, None]
    summed = [0, *range(2, predicted.ndim)]
    return torch.stack([(which != 0).sum(summed) for which in (predicted & true, predicted, true)])
