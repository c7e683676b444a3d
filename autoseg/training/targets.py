"""Convert class indices to the targets of a loss: classes or regions, and a mask of valid voxels.

Prepared cases store one class index per voxel, also for overlapping regions and for voxels without
annotation, so that a single label map is resampled, cropped and rotated. It is converted to targets
only when the loss is computed.
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
from autoseg.losses import Loss
from autoseg.losses.base import Targets

Objective: TypeAlias = Callable[[LogitsBatch, LabelBatch], Scalar]
"""Loss of logits and class indices."""

RegionTable = Bool[Tensor, "classes regions"]
"""Whether each class belongs to each region."""

RegionTables: TypeAlias = Callable[[torch.device], RegionTable]
"""Returns the region table on a device."""

TargetCounts = Int[Tensor, "3 targets"]
"""Voxels per target: true positives, predicted positives, reference positives."""

LEAST_SHARE = 1e-6
"""Shares are clipped to this distance from 0 and 1, so that their logarithms are finite."""


def objective(loss: Loss, labels: LabelScheme) -> Objective:
    """Return the loss as a function of logits and class indices.

    Without regions and ignored voxels, this is the loss itself.
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
    """Convert class indices to targets and a mask of valid voxels.

    Args:
        classes: Class indices, `(batch, *space)`; `labels.ignored_index` without annotation.
        labels: Label scheme.
        tables: Cached `region_tables` of the scheme; None builds them.

    Returns:
        Class indices (0 in ignored voxels) or region masks, and the mask of valid voxels or None if
        all are valid.
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
    """Return a per-device cached region table."""
    return cache(partial(_region_table, labels))


def _region_table(labels: LabelScheme, device: torch.device) -> RegionTable:
    table = np.zeros((labels.num_classes, len(labels.regions)), dtype=bool)
    for region, members in enumerate(labels.target_classes):
        table[list(members), region] = True
    return to_device(table, device)


def target_counts(logits: LogitsBatch, classes: LabelBatch, labels: LabelScheme) -> TargetCounts:
    """Count true, predicted and reference positives of each target in annotated voxels.

    Args:
        logits: `(batch, classes, *space)`, or one channel per region.
        classes: Class indices, `(batch, *space)`.
        labels: Label scheme.
    """
    targets, valid = targets_of(classes, labels)
    if labels.regions:
        positive = logits > 0
        if valid is not None:  # ignored voxels are background in `targets`
            positive = positive & valid[:, None]
        dims = [0, *range(2, logits.ndim)]
        masks = (positive & targets, positive, targets)
        return torch.stack([(mask != 0).sum(dims) for mask in masks])
    predicted = logits.argmax(dim=1)
    if valid is not None:
        predicted, targets = predicted[valid], targets[valid]
    both = targets[targets == predicted]
    counted = [
        torch.bincount(indices.flatten(), minlength=logits.shape[1])
        for indices in (both, predicted, targets)
    ]
    return torch.stack(counted)[:, 1:]


def head_biases(frequencies: tuple[float, ...], labels: LabelScheme) -> tuple[float, ...]:
    """Return the biases with which an untrained network predicts the frequency of each target.

    Args:
        frequencies: Share of each class among all annotated voxels, background first.
        labels: Label scheme.

    Source: Lin et al., ICCV 2017, section 3.3, for the sigmoid.
    """
    if not labels.regions:
        return tuple(log(max(share, LEAST_SHARE)) for share in frequencies)
    shares = (sum(frequencies[index] for index in group) for group in labels.target_classes)
    bounded = (min(max(share, LEAST_SHARE), 1 - LEAST_SHARE) for share in shares)
    return tuple(log(share / (1 - share)) for share in bounded)
