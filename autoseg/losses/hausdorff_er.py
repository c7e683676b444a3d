"""Hausdorff loss by erosion: errors that survive many erosions, so thick ones, cost more.

Source: Karimi & Salcudean, IEEE Transactions on Medical Imaging 39 (2020), equation 12, alpha = 2,
10 erosions with the cross of a voxel and its neighbours.
"""

from functools import partial
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveInt
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import (
    LOSSES,
    ForegroundBatch,
    Loss,
    LossFunction,
    Targets,
    mean_by_sample,
)
from autoseg.losses.soft_counts import predicted_and_true


@LOSSES.register
class HausdorffErosion(Loss):
    """Mean of `u·e + Σ k^alpha · (e eroded k times)`, e the squared error, per foreground class.

    An erosion is the mean over the cross, minus 1/2, at least 0. It needs no distances, so it
    counts in voxels. Departs twice: what is left after an erosion is doubled, so that 1 stays 1
    (the authors' program stretches it to the range of the patch instead), and the errors
    themselves count too, else the gradient is 0 wherever errors are thin or uncertain.

    Attributes:
        exponent: How much more thick errors cost.
        erosions: How many.
        uneroded_weight: Weight u of the errors themselves; 0 as published.
    """

    kind: Literal["hausdorff_er"] = "hausdorff_er"
    exponent: NonNegativeFloat = 2.0
    erosions: PositiveInt = 10
    uneroded_weight: NonNegativeFloat = 1.0

    @override
    def build(self) -> LossFunction:
        return partial(hausdorff_erosion_loss, config=self)


def hausdorff_erosion_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    config: HausdorffErosion,
) -> Scalar:
    """Return the mean over valid voxels, the foreground classes or regions, and samples.

    An ignored voxel is no error, so it erodes its neighbours as a right voxel does.
    """
    probabilities, truth = predicted_and_true(logits, labels)
    errors = (probabilities - truth.to(probabilities.dtype)) ** 2
    if valid is not None:
        errors = errors * valid[:, None]
    total = config.uneroded_weight * errors
    for times in range(1, config.erosions + 1):
        errors = eroded(errors)
        total = total + times**config.exponent * errors
    return mean_by_sample(total, valid)


def eroded(errors: ForegroundBatch) -> ForegroundBatch:
    """Return twice what the mean over each voxel and its face neighbours exceeds 1/2 by.

    Nothing is wrong outside the patch; along an axis of one voxel there are no neighbours.
    """
    dims = [dim for dim in range(2, errors.ndim) if errors.shape[dim] > 1]
    total = errors
    for dim in dims:
        size = errors.shape[dim]
        outside = torch.zeros_like(errors.narrow(dim, 0, 1))
        total = total + torch.cat([outside, errors.narrow(dim, 0, size - 1)], dim)
        total = total + torch.cat([errors.narrow(dim, 1, size - 1), outside], dim)
    return torch.relu(2 * total / (2 * len(dims) + 1) - 1)
