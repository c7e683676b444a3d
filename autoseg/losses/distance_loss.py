"""Losses that use distance maps of the reference.

Computing the maps takes longer than computing a loss. Training therefore computes them in the data
loading processes with `DistanceLoss.reference_maps` and passes them to the loss. A loss that
receives no maps computes them.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import Loss, Targets, Valid, foreground, is_regional, membership
from autoseg.losses.distances import DistanceMaps, LabelMasks

MapBatch = Float[Tensor, "batch maps *space"]


@dataclass(frozen=True)
class BatchGeometry:
    """Maps and voxel spacing of a batch.

    Attributes:
        maps: Result of `reference_maps` for each sample, `batch maps *space`.
        spacing: Size of a voxel along each axis, mm.
    """

    maps: MapBatch
    spacing: tuple[float, ...]


class DistanceLoss(Loss):
    """Loss that needs precomputed maps of the reference."""

    @abstractmethod
    def reference_maps(self, masks: LabelMasks) -> DistanceMaps:
        """Compute the maps of one patch that depend only on the reference; slow."""

    @abstractmethod
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: Valid, geometry: BatchGeometry
    ) -> Scalar:
        """Compute the loss over the valid voxels.

        Args:
            logits: Raw scores before softmax or sigmoid, `batch channels *space`.
            labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
            valid: Voxels that count, `batch *space`; None means all.
            geometry: Maps and voxel spacing of the batch.
        """

    @override
    def __call__(
        self,
        logits: LogitsBatch,
        labels: Targets,
        valid: Valid = None,
        *,
        spacing: tuple[float, ...] | None = None,
        maps: MapBatch | None = None,
    ) -> Scalar:
        """Compute the loss over the valid voxels.

        Args:
            logits: Raw scores before softmax or sigmoid, `batch channels *space`.
            labels: Class indices `batch *space`, or a mask per region `batch regions *space`.
            valid: Voxels that count, `batch *space`; None means all.
            spacing: Size of a voxel along each axis, mm; None means 1 mm.
            maps: Result of `reference_maps` for each sample; None computes it on the CPU.
        """
        spacing = spacing or (1.0,) * (logits.ndim - 2)
        if maps is None:
            maps = self._compute_maps(logits, labels, valid, spacing)
        return self.value(logits, labels, valid, BatchGeometry(maps, spacing))

    def _compute_maps(
        self, logits: LogitsBatch, labels: Targets, valid: Valid, spacing: tuple[float, ...]
    ) -> MapBatch:
        members = foreground(membership(logits, labels), labels) > 0.5
        annotated = [None] * len(members) if valid is None else valid.cpu().numpy()
        maps = [
            self.reference_maps(LabelMasks(mask, known, spacing, is_regional(logits, labels)))
            for mask, known in zip(members.cpu().numpy(), annotated, strict=True)
        ]
        return torch.from_numpy(np.stack(maps)).to(logits.device)
