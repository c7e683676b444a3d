"""Euclidean distance transforms in torch, of whole batches, on the device where they lie.

Exact: the squared distance along one axis after the other, each the smallest sum of what the axes
before found and the square of a shift. An axis of n voxels takes 2n passes over the batch, which
wait for nothing.

Source: Felzenszwalb & Huttenlocher, Theory of Computing 8 (2012), section 2, by trying all shifts.
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
    """Return the distance of each voxel to the nearest on the other side of its mask's boundary.

    0 everywhere where a mask has no voxel, or all. Ignored voxels are on neither side.

    Args:
        masks: Of which boundaries are measured.
        valid: Voxels that count; None means all.
        spacing: Size of a voxel along each axis, mm.
    """
    inside, outside = masks, ~masks
    if valid is not None:
        inside, outside = inside & valid[:, None], outside & valid[:, None]
    total = distances_to(inside, spacing) + distances_to(outside, spacing)  # one of them is 0
    return total.masked_fill(total.isinf(), 0.0)


@torch.no_grad()
def distances_to(masks: BatchMasks, spacing: tuple[float, ...]) -> BatchDistances:
    """Return the distance of each voxel to the nearest of its mask; infinite for an empty mask."""
    squared = torch.zeros(masks.shape, device=masks.device).masked_fill(~masks, torch.inf)
    for dim, step in enumerate(spacing, start=2):
        squared = _nearest_along(squared, dim, step)
    return squared.sqrt()


def _nearest_along(squared: BatchDistances, dim: int, step: float) -> BatchDistances:
    """Return the smallest sum of a value along `dim` and the square of the way to it."""
    nearest, size = squared.clone(), squared.shape[dim]
    for shift in range(1, size):
        cost, kept = (shift * step) ** 2, size - shift
        for here, there in ((shift, 0), (0, shift)):
            target = nearest.narrow(dim, here, kept)
            torch.minimum(target, squared.narrow(dim, there, kept) + cost, out=target)
    return nearest
