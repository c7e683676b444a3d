"""Losses that look at distances in the reference, measured where batches are made.

Distances take longer to measure than a loss takes to compute. So training measures them in the
processes that draw patches, with `DistanceLoss.label_maps`, and hands them over; a loss function
that gets none measures them itself.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import Loss, Targets, foreground, is_regional, membership
from autoseg.losses.distances import DistanceMaps, LabelMasks

MapBatch = Float[Tensor, "batch maps *space"]


@dataclass(frozen=True)
class Measured:
    """What is known about distances in a batch.

    Attributes:
        maps: What `label_maps` returned, of every sample.
        spacing: Size of a voxel along each axis, mm.
    """

    maps: MapBatch
    spacing: tuple[float, ...]


class DistanceLoss(Loss):
    """Configuration of a loss that needs a map of every label patch."""

    @abstractmethod
    def label_maps(self, masks: LabelMasks) -> DistanceMaps:
        """Return what depends on the reference alone, of one patch; slow."""

    @abstractmethod
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: ValidMask | None, measured: Measured
    ) -> Scalar:
        """Return the loss over the valid voxels."""

    @override
    def build(self) -> "DistanceLossFunction":
        return DistanceLossFunction(self)


@dataclass(frozen=True)
class DistanceLossFunction:
    """The loss as a function; see `Loss.build`.

    Attributes:
        config: What it computes.
    """

    config: DistanceLoss

    def __call__(
        self,
        logits: LogitsBatch,
        labels: Targets,
        valid: ValidMask | None = None,
        *,
        spacing: tuple[float, ...] | None = None,
        maps: MapBatch | None = None,
    ) -> Scalar:
        """Return the loss over the valid voxels.

        Args:
            logits: Raw scores, before softmax or sigmoid.
            labels: Class indices in `[0, classes)`, or a mask per region.
            valid: Voxels that count; None means all.
            spacing: Size of a voxel along each axis, mm; None means 1 mm.
            maps: `label_maps` of every sample; measured here, on the CPU, if there are none.
        """
        spacing = spacing or (1.0,) * (logits.ndim - 2)
        if maps is None:
            maps = _measure(self.config, logits, labels, valid, spacing)
        return self.config.value(logits, labels, valid, Measured(maps, spacing))


def _measure(
    config: DistanceLoss,
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None,
    spacing: tuple[float, ...],
) -> MapBatch:
    members = foreground(membership(logits, labels), logits, labels) > 0.5
    annotated = [None] * len(members) if valid is None else valid.cpu().numpy()
    found = [
        config.label_maps(LabelMasks(mask, known, spacing, is_regional(logits, labels)))
        for mask, known in zip(members.cpu().numpy(), annotated, strict=True)
    ]
    return torch.from_numpy(np.stack(found)).to(logits.device)
