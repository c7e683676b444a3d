"""Distance maps for losses that need them, computed when patches are drawn.

Batches for other losses have no distance maps.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Integer

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
class DistanceMapper:
    """Computes distance maps of label patches and passes them to the loss.

    Attributes:
        loss: The loss that needs distance maps.
        labels: Label scheme of the class indices.
        spacing: Voxel size along each axis of a patch, mm.
    """

    loss: DistanceLoss
    labels: LabelScheme
    spacing: tuple[float, ...]

    def maps(self, classes: PatchClasses) -> DistanceMaps:
        """Compute the distance maps of one patch from its class indices; slow."""
        masks = np.stack([np.isin(classes, group) for group in self.labels.target_classes])
        ignored = self.labels.ignored_index
        annotated = None if ignored is None else classes != ignored
        return self.loss.reference_maps(
            LabelMasks(masks, annotated, self.spacing, are_regions=bool(self.labels.regions))
        )

    def objective(self, loss: DistanceLoss, maps: MapArrays, device: torch.device) -> Objective:
        """Return the loss of one batch as a function of logits and class indices.

        At lower resolutions, maps are resampled like labels and the spacing is larger.

        Args:
            loss: `self.loss` at the present progress of the training.
            maps: Distance maps of the batch at full resolution, `(batch, maps, *space)`.
            device: Device of the logits.
        """
        full, tables = to_device(maps, device), region_tables(self.labels)

        def on_targets(logits: LogitsBatch, classes: LabelBatch) -> Scalar:
            targets, valid = targets_of(classes, self.labels, tables)
            shape = tuple(logits.shape[2:])
            at_shape = shrunk(full.flatten(0, 1), shape).view(*full.shape[:2], *shape)
            sizes = zip(self.spacing, full.shape[2:], shape, strict=True)
            spacing = tuple(mm * before / after for mm, before, after in sizes)
            return loss(logits, targets, valid, spacing=spacing, maps=at_shape)

        return on_targets


def distance_mapper_for(
    loss: Loss, labels: LabelScheme, spacing: tuple[float, ...]
) -> DistanceMapper | None:
    """Return the distance mapper of a loss; None if the loss needs no distance maps.

    Args:
        loss: The loss.
        labels: Label scheme of the class indices.
        spacing: Voxel size along each axis of a patch, mm.
    """
    return DistanceMapper(loss, labels, spacing) if isinstance(loss, DistanceLoss) else None
