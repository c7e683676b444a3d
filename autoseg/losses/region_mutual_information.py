"""Region mutual information: neighbourhoods of the prediction should tell those of the reference.

Source: Zhao et al., NeurIPS 2019, equations 9 to 15; regions of 3 × 3 after shrinking by 3, weight
0.5, and the authors' program for the ridge of 5e-4.
"""

from functools import partial
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, RegionBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Loss, LossFunction, Targets
from autoseg.losses.cross_entropy import mean_cross_entropy
from autoseg.losses.soft_counts import predicted_and_true

Neighbourhoods = Float64[Tensor, "batch classes voxels positions"]
Covariances = Float64[Tensor, "batch classes rows columns"]


@LOSSES.register
class RegionMutualInformation(Loss):
    """Cross-entropy, and minus a lower bound of the mutual information of neighbourhoods.

    Per class (the background included, as in the source) or region and sample: half the
    log-determinant of the covariance of the reference's neighbourhoods given the prediction's,
    divided by the voxels of a neighbourhood; summed over classes, averaged over samples. It can be
    negative, and is computed in float64, which Apple's devices lack. Neighbourhoods are cubes in
    3-D, of 27 voxels. Patches (and the lower resolutions of deep supervision) that are small shrink
    by less. It is as glad about the opposite of the reference, in which trainings were caught: so
    the information's weight grows from 0 during the warm-up, while cross-entropy shows the side.

    Departs: of exclusive classes the probabilities are those of the softmax, as everywhere here,
    and not a sigmoid per class; both sides shrink by averaging.

    Attributes:
        cross_entropy_weight: Weight of cross-entropy; the information weighs the rest.
        radius: Edge of a neighbourhood, voxels after shrinking.
        stride: By how much the patch shrinks before.
        ridge: Added to the diagonals of covariances.
        warm_up: Share of the training in which the information's weight grows; 0 as published.
        progress: How much of the training is done; training sets it before every step.
    """

    needs_float64: ClassVar[bool] = True

    kind: Literal["region_mutual_information"] = "region_mutual_information"
    cross_entropy_weight: Fraction = 0.5
    radius: PositiveInt = 3
    stride: PositiveInt = 3
    ridge: PositiveFloat = 5e-4
    warm_up: Fraction = 0.2
    progress: Fraction = 1.0

    @property
    def information_weight(self) -> float:
        """The weight of the information, now."""
        warmth = min(1.0, self.progress / self.warm_up) if self.warm_up else 1.0
        return warmth * (1 - self.cross_entropy_weight)

    @override
    def at(self, progress: Fraction) -> "RegionMutualInformation":
        return self.model_copy(update={"progress": progress})

    @override
    def build(self) -> LossFunction:
        return partial(region_mutual_information_loss, config=self)


def region_mutual_information_loss(
    logits: LogitsBatch,
    labels: Targets,
    valid: ValidMask | None = None,
    *,
    config: RegionMutualInformation,
) -> Scalar:
    """Return the blend of cross-entropy and information; lower is better, also below 0."""
    entropy = mean_cross_entropy(logits, labels, valid)
    with torch.autocast(logits.device.type, enabled=False):
        predicted, true = predicted_and_true(logits, labels, with_background=True)
        if valid is not None:
            predicted, true = predicted * valid[:, None], true * valid[:, None]
        deviance = conditional_deviance(
            neighbourhoods(true, config), neighbourhoods(predicted, config), config.ridge
        )
    information = config.information_weight * deviance.to(entropy.dtype)
    return config.cross_entropy_weight * entropy + information


def neighbourhoods(values: RegionBatch, config: RegionMutualInformation) -> Neighbourhoods:
    """Return the values of the neighbourhood of every position in the shrunk patch."""
    num_axes = values.ndim - 2
    shape = values.shape[2:]
    strides = tuple(max(1, min(config.stride, size // (2 * config.radius))) for size in shape)
    pool = F.avg_pool2d if num_axes == 2 else F.avg_pool3d
    windows = pool(values.double(), strides)
    edges = [min(config.radius, size) for size in windows.shape[2:]]
    for axis, edge in enumerate(edges, start=2):
        windows = windows.unfold(axis, edge, 1)
    return windows.flatten(2 + num_axes).flatten(2, 1 + num_axes).transpose(2, 3)


def conditional_deviance(true: Neighbourhoods, predicted: Neighbourhoods, ridge: float) -> Scalar:
    """Return half the log-determinant of the covariance of `true` given `predicted`, per voxel.

    Covariances are sums over positions, not means, as in the authors' program.

    Args:
        true: Neighbourhoods of the reference.
        predicted: Those of the prediction.
        ridge: Added to the diagonals before inversion and determinant.
    """
    true = true - true.mean(dim=-1, keepdim=True)
    predicted = predicted - predicted.mean(dim=-1, keepdim=True)
    identity = ridge * torch.eye(true.shape[2], dtype=true.dtype, device=true.device)
    crossed = predicted @ true.mT
    factor = torch.linalg.cholesky(predicted @ predicted.mT + identity)
    explained = crossed.mT @ torch.cholesky_solve(crossed, factor)
    conditional = true @ true.mT - explained
    symmetric = (conditional + conditional.mT) / 2 + identity
    diagonal = torch.linalg.cholesky(symmetric).diagonal(dim1=-2, dim2=-1)
    of_classes: Tensor = diagonal.log().sum(dim=-1)
    return of_classes.sum(dim=1).mean() / true.shape[2]
