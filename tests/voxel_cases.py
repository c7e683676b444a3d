"""A small batch for losses, as tensors and as float64 NumPy arrays, to compute on by hand."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class VoxelCase:
    """Logits and classes of two samples, with every class in each.

    Attributes:
        logits: `batch classes *space`.
        labels: `batch *space`.
        valid: Voxels that count.
    """

    logits: torch.Tensor
    labels: torch.Tensor
    valid: torch.Tensor

    @property
    def regions(self) -> torch.Tensor:
        """Two overlapping regions; their logits are the first two channels."""
        return torch.stack([self.labels > 0, self.labels == 2], dim=1)

    @property
    def softmax(self) -> np.ndarray:
        powers = np.exp(self.logits.double().numpy())
        return powers / powers.sum(axis=1, keepdims=True)

    @property
    def sigmoid(self) -> np.ndarray:
        return 1 / (1 + np.exp(-self.logits[:, :2].double().numpy()))

    @property
    def one_hot(self) -> np.ndarray:
        return np.stack([self.labels.numpy() == index for index in range(3)], axis=1).astype(float)

    @property
    def true_scores(self) -> np.ndarray:
        """Probability of each voxel's class."""
        return (self.softmax * self.one_hot).sum(axis=1)


def voxel_case(*space: int) -> VoxelCase:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (2, *space), generator=random)
    labels.flatten(1)[:, :3] = torch.tensor([0, 1, 2])
    return VoxelCase(
        logits=torch.randn(2, 3, *space, generator=random),
        labels=labels,
        valid=torch.rand(2, *space, generator=random) > 0.3,
    )


def counts(probabilities: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return true positives, false positives and false negatives per sample and channel."""
    flat = probabilities.reshape(*probabilities.shape[:2], -1)
    true = truth.reshape(flat.shape)
    return (
        (flat * true).sum(-1),
        (flat * (1 - true)).sum(-1),
        ((1 - flat) * true).sum(-1),
    )
