"""Distances for the losses that look at them: measured as patches are drawn, passed to the loss.

Losses that do not are left alone: their batches hold no maps, and their step has nothing to do.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Integer
from torch import Tensor

from autoseg.core.device import to_device
from autoseg.core.labels import LabelScheme
from autoseg.core.tensors import LabelBatch, LogitsBatch, Scalar
from autoseg.losses import Loss
from autoseg.losses.distance_loss import DistanceLoss
from autoseg.losses.distances import DistanceMaps, LabelMasks
from autoseg.training.deep_supervision import shrunk
from autoseg.training.targets import Objective, region_tables, targets_of

PatchClasses = Integer[np.ndarray, "*space"]
MapArrays = Float32[np.ndarray, "batch maps *scored"]


@dataclass(frozen=True)
class Measure:
    """How distances in label patches are measured, and used.

    Attributes:
        loss: What needs them.
        labels: What the class indices mean.
        spacing: Size of a voxel along each axis of a patch, mm.
    """

    loss: DistanceLoss
    labels: LabelScheme
    spacing: tuple[float, ...]

    def maps(self, classes: PatchClasses) -> DistanceMaps:
        """Return the distance maps of one patch, from its class indices; slow."""
        masks = np.stack([np.isin(classes, group) for group in self.labels.target_classes])
        ignored = self.labels.ignored_index
        annotated = None if ignored is None else classes != ignored
        return self.loss.label_maps(
            LabelMasks(masks, annotated, self.spacing, are_regions=bool(self.labels.regions))
        )

    def objective(self, loss: DistanceLoss, maps: MapArrays, device: torch.device) -> Objective:
        """Return the loss of one batch as a function of logits and class indices.

        At lower resolutions, maps are shrunk like labels and voxels are larger.

        Args:
            loss: `self.loss`, at this point of the training.
            maps: Of the batch, at full resolution.
            device: Where logits are.
        """
        function = loss.build()
        full, tables = to_device(maps, device), region_tables(self.labels)

        def on_targets(logits: LogitsBatch, classes: LabelBatch) -> Scalar:
            targets, valid = targets_of(classes, self.labels, tables)
            here = _shrunk_maps(full, tuple(logits.shape[2:]))
            sizes = zip(self.spacing, full.shape[2:], logits.shape[2:], strict=True)
            spacing = tuple(step * before / after for step, before, after in sizes)
            return function(logits, targets, valid, spacing=spacing, maps=here)

        return on_targets


def measure_for(loss: Loss, labels: LabelScheme, spacing: tuple[float, ...]) -> Measure | None:
    """Return how a loss's distances are measured; None if it needs none."""
    return Measure(loss, labels, spacing) if isinstance(loss, DistanceLoss) else None


def _shrunk_maps(maps: Tensor, shape: tuple[int, ...]) -> Tensor:
    return shrunk(maps.flatten(0, 1), shape).view(*maps.shape[:2], *shape)
