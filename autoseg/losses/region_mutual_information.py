"""Region mutual information between neighbourhoods of the prediction and of the reference.

Source: Zhao et al., NeurIPS 2019, equations 9 to 15: 3 × 3 neighbourhoods after downsampling by 3,
weight 0.5; the ridge of 5e-4 is from the authors' code.
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float64
from pydantic import Field, PositiveFloat
from torch import Tensor
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.core.tensors import LogitsBatch, RegionBatch, Scalar
from autoseg.losses.base import LOSSES, Loss, Targets, Valid
from autoseg.losses.cross_entropy import mean_cross_entropy
from autoseg.losses.soft_counts import masked, probabilities_and_truth

Neighbourhoods = Float64[Tensor, "batch classes voxels positions"]


@LOSSES.register
class RegionMutualInformation(Loss):
    """Cross-entropy minus a lower bound of the mutual information of neighbourhoods.

    The information term is half the log-determinant of the conditional covariance of reference
    neighbourhoods given the predicted ones, divided by the voxels per neighbourhood. It is computed
    per class (including the background, as in the paper) or region, summed over classes and
    averaged over samples. It can be negative. It is computed in float64, which Apple GPUs do not
    support. Neighbourhoods are cubes in 3-D (27 voxels by default). Small patches, as in the lower
    resolutions of deep supervision, are downsampled by less.

    The term is equally low for the inverted reference, which some trainings converged to.
    Therefore its weight grows from 0 during the warm-up, while cross-entropy sets the direction.

    Unlike the paper, exclusive classes use softmax probabilities instead of a sigmoid per class,
    and both prediction and reference are downsampled by averaging.

    Attributes:
        cross_entropy_weight: Weight of cross-entropy; the information term has the rest.
        radius: Edge of a neighbourhood, voxels after downsampling.
        stride: Downsampling factor of the patch.
        ridge: Added to the diagonals of covariances.
        warm_up: Share of the training in which the weight of the information term grows; 0 as
            published.
        progress: Completed share of the training; the training loop sets it before each step.
    """

    needs_float64: ClassVar[bool] = True

    kind: Literal["region_mutual_information"] = "region_mutual_information"
    cross_entropy_weight: Fraction = 0.5
    radius: Annotated[int, Field(ge=1, le=15)] = 3
    stride: Annotated[int, Field(ge=1, le=1024)] = 3
    ridge: PositiveFloat = 5e-4
    warm_up: Fraction = 0.2
    progress: Fraction = 1.0

    @property
    def information_weight(self) -> float:
        """Current weight of the information term."""
        ramp = min(1.0, self.progress / self.warm_up) if self.warm_up else 1.0
        return ramp * (1 - self.cross_entropy_weight)

    @override
    def at(self, progress: Fraction) -> "RegionMutualInformation":
        return self.model_copy(update={"progress": progress})

    @override
    def __call__(self, logits: LogitsBatch, labels: Targets, valid: Valid = None) -> Scalar:
        entropy = mean_cross_entropy(logits, labels, valid)
        with torch.autocast(logits.device.type, enabled=False):
            pair = probabilities_and_truth(logits, labels, with_background=True)
            predicted, true = (neighbourhoods(part, self) for part in masked(*pair, valid))
            deviance = conditional_deviance(true, predicted, self.ridge)
        information = self.information_weight * deviance.to(entropy.dtype)
        return self.cross_entropy_weight * entropy + information


def neighbourhoods(values: RegionBatch, config: RegionMutualInformation) -> Neighbourhoods:
    """Extract the neighbourhood of each position in the downsampled patch."""
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
    """Compute half the log-determinant of the covariance of `true` given `predicted`, per voxel.

    Covariances are sums over positions instead of means, as in the authors' code.

    Args:
        true: Neighbourhoods of the reference, `batch classes voxels positions`.
        predicted: Neighbourhoods of the prediction, `batch classes voxels positions`.
        ridge: Added to the diagonals before inversion and determinant.
    """
    true = true - true.mean(dim=-1, keepdim=True)
    predicted = predicted - predicted.mean(dim=-1, keepdim=True)
    identity = ridge * torch.eye(true.shape[2], dtype=true.dtype, device=true.device)
    cross = predicted @ true.mT
    factor = torch.linalg.cholesky(predicted @ predicted.mT + identity)
    explained = cross.mT @ torch.cholesky_solve(cross, factor)
    conditional = true @ true.mT - explained
    symmetric = (conditional + conditional.mT) / 2 + identity
    diagonal = torch.linalg.cholesky(symmetric).diagonal(dim1=-2, dim2=-1)
    half_log_det: Tensor = diagonal.log().sum(dim=-1)
    return half_log_det.sum(dim=1).mean() / true.shape[2]
