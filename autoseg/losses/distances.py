"""Exact Euclidean distances of voxels to boundaries, in mm.

Ignored voxels are neither inside nor outside, so they do not change any boundary.

Distances are computed in PyTorch, on the device of the masks, one axis after another. Along each
axis, the squared distance is the minimum over all shifts of the result of the previous axes plus
the squared shift. An axis of n voxels takes 2n passes over the batch, without synchronising with
the device.

Source: Felzenszwalb & Huttenlocher, Theory of Computing 8 (2012), section 2, with exhaustive search
over shifts.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from autoseg.core.arrays import MaskArray
from autoseg.core.tensors import ValidMask

Masks = Bool[np.ndarray, "channels *space"]
DistanceArray = Float32[np.ndarray, "*space"]
DistanceMaps = Float32[np.ndarray, "maps *space"]
BatchMasks = Bool[Tensor, "batch channels *space"]
BatchDistances = Float[Tensor, "batch channels *space"]


@dataclass(frozen=True)
class LabelMasks:
    """Reference masks of one patch.

    Attributes:
        foreground: Mask of each foreground class or region, `channels *space`.
        annotated: Voxels that count, `*space`; None means all.
        spacing: Size of a voxel along each axis, mm.
        are_regions: Whether the masks are regions, which may overlap and are treated separately.
    """

    foreground: Masks
    annotated: MaskArray | None
    spacing: tuple[float, ...]
    are_regions: bool


def signed_distances(masks: LabelMasks) -> DistanceMaps:
    """Compute the distance to the boundary of each class or region, negative inside.

    The distance is measured to the nearest voxel on the other side. It is 0 everywhere for a class
    that has no voxels in the patch or fills it.
    """
    inside, outside = masks.foreground, ~masks.foreground
    if masks.annotated is not None:
        inside, outside = inside & masks.annotated, outside & masks.annotated
    away, within = (
        distances_to(torch.from_numpy(side)[None], masks.spacing)[0] for side in (inside, outside)
    )
    return (away - within).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).numpy()


def contour_distances(masks: LabelMasks) -> DistanceMaps:
    """Compute the distance to the nearest voxel of another class, as one map, or one per region.

    A map without a boundary is 0 everywhere.
    """
    each: DistanceMaps = np.abs(signed_distances(masks))
    if masks.are_regions:
        return each
    without = ~each.reshape(len(each), -1).any(axis=1)
    each[without] = np.inf
    nearest = each.min(axis=0, keepdims=True)
    return np.asarray(np.where(np.isfinite(nearest), nearest, 0.0), dtype=np.float32)


@torch.no_grad()
def boundary_distances(
    masks: BatchMasks, valid: ValidMask | None, spacing: tuple[float, ...]
) -> BatchDistances:
    """Compute the distance of each voxel to the nearest voxel on the other side of the boundary.

    The distance is 0 everywhere if a mask is empty or full. Ignored voxels are on neither side.

    Args:
        masks: Boolean masks, `batch channels *space`.
        valid: Voxels that count, `batch *space`; None means all.
        spacing: Size of a voxel along each axis, mm.
    """
    inside, outside = masks, ~masks
    if valid is not None:
        inside, outside = inside & valid[:, None], outside & valid[:, None]
    total = distances_to(inside, spacing) + distances_to(outside, spacing)  # one of them is 0
    return total.masked_fill(total.isinf(), 0.0)


@torch.no_grad()
def distances_to(masks: BatchMasks, spacing: tuple[float, ...]) -> BatchDistances:
    """Compute the distance of each voxel to the nearest mask voxel; infinite for empty masks."""
    squared = torch.zeros(masks.shape, device=masks.device).masked_fill(~masks, torch.inf)
    for dim, step in enumerate(spacing, start=2):
        squared = _nearest_along(squared, dim, step)
    return squared.sqrt()


def _nearest_along(squared: BatchDistances, dim: int, step: float) -> BatchDistances:
    """Return the minimum along `dim` of the squared distance plus the squared shift."""
    nearest, size = squared.clone(), squared.shape[dim]
    for shift in range(1, size):
        cost, kept = (shift * step) ** 2, size - shift
        for start, source in ((shift, 0), (0, shift)):
            target = nearest.narrow(dim, start, kept)
            torch.minimum(target, squared.narrow(dim, source, kept) + cost, out=target)
    return nearest
