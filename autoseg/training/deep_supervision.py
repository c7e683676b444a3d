"""Compute a loss at every resolution of the decoder.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule".
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from autoseg.architectures import NetworkOutput
from autoseg.core.tensors import LabelBatch, Scalar
from autoseg.training.targets import Objective

Values = Integer[Tensor, "batch *space"] | Float[Tensor, "batch *space"]
ShrunkValues = Integer[Tensor, "batch *shrunk"] | Float[Tensor, "batch *shrunk"]


def supervision_weights(shapes: Sequence[Sequence[int]]) -> tuple[float, ...]:
    """Return the weight of each output: halved per resolution, summing to 1.

    Outputs of the same resolution, as in UNet++, have equal weights.

    Args:
        shapes: Spatial shape of each output, the finest first.
    """
    weights = [1.0]
    for finer, shape in pairwise(shapes):
        weights.append(weights[-1] if shape == finer else weights[-1] / 2)
    return tuple(weight / sum(weights) for weight in weights)


def supervised_loss(loss: Objective, output: NetworkOutput, labels: LabelBatch) -> Scalar:
    """Return the weighted sum of the loss over all outputs, each at its own resolution.

    Args:
        loss: Loss at one resolution.
        output: Logits and auxiliary logits, `(batch, classes, *space)` each.
        labels: Class indices at full resolution, `(batch, *space)`.
    """
    scores = (output.logits, *output.auxiliary)
    total = torch.zeros((), device=labels.device)
    weights = supervision_weights([logits.shape[2:] for logits in scores])
    for logits, weight in zip(scores, weights, strict=True):
        total = total + weight * loss(logits, shrunk(labels, tuple(logits.shape[2:])))
    return total


def shrunk(values: Values, shape: tuple[int, ...]) -> ShrunkValues:
    """Resample values to a smaller spatial shape by nearest neighbour."""
    for dim, size in enumerate(shape, start=1):
        old = values.shape[dim]
        if old != size:
            centres = (2 * torch.arange(size, device=values.device) + 1) * old // (2 * size)
            values = values.index_select(dim, centres)
    return values
