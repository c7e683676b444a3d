"""Exact Euclidean distance transforms of batches in PyTorch, on the device of the batch.

The axes are processed one after another. Along each axis, the squared distance is the minimum over
all shifts of the result of the previous axes plus the squared shift. An axis of n voxels takes 2n
passes over the batch, without synchronising with the device.

Source: Felzenszwalb & Huttenlocher, Theory of Computing 8 (2012), section 2, with exhaustive search
over shifts.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from autoseg.core.tensors import ValidMask

BatchMasks = Bool[Tensor, "batch channels *space"]
BatchDistances = Float[Tensor, "batch channels *space"]


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
