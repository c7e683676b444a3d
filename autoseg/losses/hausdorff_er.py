"""Hausdorff loss based on erosion: penalises thick errors, which survive many erosions.

Source: Karimi & Salcudean, IEEE Transactions on Medical Imaging 39 (2020), equation 12, alpha = 2,
10 erosions with a cross-shaped kernel (a voxel and its face neighbours).
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, NonNegativeFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, ForegroundBatch, Loss, Targets, Valid, mean_over_samples
from autoseg.losses.soft_counts import probabilities_and_truth


@LOSSES.register
class HausdorffErosion(Loss):
    """Mean of `u·e + Σ k^alpha · (e eroded k times)`, e the squared error, per foreground class.

    Averaged over valid voxels, foreground classes or regions, and samples. An ignored voxel has no
    error, so it erodes its neighbours like a correct voxel.

    An erosion is the mean over the cross minus 1/2, clamped at 0. No distances are needed, so
    thickness is in voxels. There are two differences from the paper. The result of each erosion is
    doubled, so that 1 remains 1 (the authors' code rescales it to the range of the patch instead).
    The uneroded errors are included, because the gradient would otherwise be 0 where errors are
    thin or uncertain.

    Attributes:
        exponent: alpha; larger values penalise thick errors more.
        erosions: Number of erosions.
        uneroded_weight: Weight u of the uneroded errors; 0 as published.
    """

    kind: Literal["hausdorff_er"] = "hausdorff_er"
    exponent: NonNegativeFloat = 2.0
    erosions: Annotated[int, Field(ge=1, le=1000)] = 10
    uneroded_weight: NonNegativeFloat = 1.0

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        probabilities, truth = probabilities_and_truth(logits, labels)
        errors = (probabilities - truth.to(probabilities.dtype)) ** 2
        if valid is not None:
            errors = errors * valid[:, None]
        total = self.uneroded_weight * errors
        for times in range(1, self.erosions + 1):
            errors = erode(errors)
            total = total + times**self.exponent * errors
        return mean_over_samples(total, valid)


def erode(errors: ForegroundBatch) -> ForegroundBatch:
    """Erode the errors once: `relu(2·mean - 1)`, the mean over a voxel and its face neighbours.

    Errors outside the patch are 0. An axis of one voxel has no neighbours.
    """
    dims = [dim for dim in range(2, errors.ndim) if errors.shape[dim] > 1]
    total = errors
    for dim in dims:
        size = errors.shape[dim]
        outside = torch.zeros_like(errors.narrow(dim, 0, 1))
        total = total + torch.cat([outside, errors.narrow(dim, 0, size - 1)], dim)
        total = total + torch.cat([errors.narrow(dim, 1, size - 1), outside], dim)
    return torch.relu(2 * total / (2 * len(dims) + 1) - 1)
