"""SqueezeNet 1.0 and 1.1.

735 424 parameters of version 1.0 for three channels; with the classifying convolution 1 248 424 as
published.

Source: Iandola et al., arXiv:1602.07360, table 1. Version 1.1: https://github.com/forresti/SqueezeNet.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.encoders.base import Layer, halving_pool, padded_convolution

FIRST_FIRE = 2
LAST_FIRE = 9


class Fire(nn.Module):
    """Fire module: a 1 × 1 convolution to few features, then 1 × 1 and 3 × 3 convolutions.

    Args:
        inputs: Input channels.
        squeezed: Features of the first convolution.
        expanded: Features of each of the other two convolutions.
    """

    def __init__(self, inputs: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = padded_convolution(inputs, squeezed, 1)
        self.expand_1 = padded_convolution(squeezed, expanded, 1)
        self.expand_3 = padded_convolution(squeezed, expanded, 3)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        few = F.relu(self.squeeze(maps), inplace=True)
        return F.relu(torch.cat((self.expand_1(few), self.expand_3(few)), dim=1), inplace=True)


def squeezenet(
    in_channels: int, *, features: int, kernel: int, pooled: tuple[int, ...]
) -> Iterator[Layer]:
    """Create the layers up to the last fire module.

    Args:
        in_channels: Image channels.
        features: Features of the first convolution.
        kernel: Kernel size of the first convolution, pixels.
        pooled: Numbers of the fire modules that are followed by pooling.
    """
    first = padded_convolution(in_channels, features, kernel, stride=2)
    yield Layer("conv1", 2, nn.Sequential(first, nn.ReLU(inplace=True)))
    yield Layer("pool1", 4, halving_pool())
    stride, inputs = 4, features
    for number in range(FIRST_FIRE, LAST_FIRE + 1):
        squeezed = 16 * (number // 2)
        yield Layer(f"fire{number}", stride, Fire(inputs, squeezed, 4 * squeezed))
        inputs = 8 * squeezed
        if number in pooled:
            stride *= 2
            yield Layer(f"pool{number}", stride, halving_pool())


BACKBONES = {
    "squeezenet1_0": partial(squeezenet, features=96, kernel=7, pooled=(4, 8)),
    "squeezenet1_1": partial(squeezenet, features=64, kernel=3, pooled=(3, 5)),
}
