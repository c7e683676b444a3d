"""Apply a loss at every resolution of the decoder.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule".
"""

import torch
from jaxtyping import Integer
from torch import Tensor

from autoseg.architectures import NetworkOutput
from autoseg.core.arrays import LabelBatch, Scalar
from autoseg.training.targets import Objective

ShrunkLabels = Integer[Tensor, "batch *shrunk"]


def supervision_weights(num_outputs: int) -> tuple[float, ...]:
    """Return the weight of each output, finest first: halved per stage, summing to 1."""
    weights = [0.5**stage for stage in range(num_outputs)]
    return tuple(weight / sum(weights) for weight in weights)


def supervised_loss(loss: Objective, output: NetworkOutput, labels: LabelBatch) -> Scalar:
    """Return the weighted sum of the loss over all outputs, each at its own resolution."""
    scores = (output.logits, *output.auxiliary)
    total = torch.zeros((), device=labels.device)
    for logits, weight in zip(scores, supervision_weights(len(scores)), strict=True):
        total = total + weight * loss(logits, shrink_labels(labels, tuple(logits.shape[2:])))
    return total


def shrink_labels(labels: LabelBatch, shape: tuple[int, ...]) -> ShrunkLabels:
    """Return the labels at another resolution, by nearest neighbour."""
    for dim, size in enumerate(shape, start=1):
        old = labels.shape[dim]
        if old != size:
            centres = (2 * torch.arange(size, device=labels.device) + 1) * old // (2 * size)
            labels = labels.index_select(dim, centres)
    return labels
