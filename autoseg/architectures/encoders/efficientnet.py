"""EfficientNet B0 to B7.

Without stochastic depth, and without the last convolution, which belongs to the classifier here.
3 595 388 parameters of B0 for three channels; with that convolution and the classifier 5 288 548,
published as 5.3 million.

Source: Tan and Le, arXiv:1905.11946, table 1; blocks: Sandler et al., arXiv:1801.04381, figure 3,
and Hu et al., arXiv:1709.01507; rounding of widths: the authors' code.
"""

from collections.abc import Iterator
from functools import partial
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.encoders.base import Layer, padded_convolution

FIRST_FEATURES = 32

STAGES = (
    *((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3)),
    *((6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)),
)
"""Expansion, kernel, stride, features and number of blocks of each stage of B0. Source: table 1."""

SCALES = (
    *((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4)),
    *((1.4, 1.8), (1.6, 2.2), (1.8, 2.6), (2.0, 3.1)),
)
"""Width and depth of B0 to B7 relative to B0."""


def scaled_width(features: int, width: float) -> int:
    """Return the features of a wider network: a multiple of 8, at most 10 % less than exact."""
    exact = features * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * exact else rounded + 8


class SqueezeExcite(nn.Module):
    """Scales each channel by a factor that depends on the means of all channels."""

    def __init__(self, features: int, reduced: int) -> None:
        super().__init__()
        self.conv_reduce = padded_convolution(features, reduced, 1)
        self.conv_expand = padded_convolution(reduced, features, 1)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        means = maps.mean(dim=(2, 3), keepdim=True)
        return maps * torch.sigmoid(self.conv_expand(F.silu(self.conv_reduce(means))))


class MobileBlock(nn.Module):
    """Inverted bottleneck: expansion, convolution of each channel alone, scaling, projection.

    Without expansion, the first convolution is left out. The output is added to the input if both
    have the same shape.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        expansion: Features in between relative to the input.
        kernel: Kernel size of the convolution of each channel, pixels.
        stride: Stride of that convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, *, expansion: int, kernel: int, stride: int
    ) -> None:
        super().__init__()
        inner, is_expanding = inputs * expansion, expansion > 1
        self.is_residual = stride == 1 and inputs == outputs
        depthwise = padded_convolution(
            inner, inner, kernel, stride=stride, groups=inner, bias=False
        )
        projection = padded_convolution(inner, outputs, 1, bias=False)
        if is_expanding:
            self._add("conv_pw", padded_convolution(inputs, inner, 1, bias=False), "bn1")
            self.act1 = nn.SiLU()
        self._add("conv_dw", depthwise, "bn2" if is_expanding else "bn1")
        self.act2 = nn.SiLU()
        self.se = SqueezeExcite(inner, inputs // 4)
        last = ("conv_pwl", "bn3") if is_expanding else ("conv_pw", "bn2")
        self._add(last[0], projection, last[1])

    def _add(self, name: str, convolution: nn.Conv2d, normalization: str) -> None:
        self.add_module(name, convolution)
        self.add_module(normalization, nn.BatchNorm2d(convolution.out_channels))

    @override
    def forward(self, maps: Tensor) -> Tensor:
        hidden = maps
        for layer in self.children():
            hidden = layer(hidden)
        return maps + hidden if self.is_residual else hidden


def efficientnet(in_channels: int, *, width: float, depth: float) -> Iterator[Layer]:
    """Create the layers up to the last block.

    Args:
        in_channels: Image channels.
        width: Width relative to B0.
        depth: Number of blocks relative to B0.
    """
    inputs = scaled_width(FIRST_FEATURES, width)
    first = padded_convolution(in_channels, inputs, 3, stride=2, bias=False)
    yield Layer("conv_stem", 2, first)
    yield Layer("bn1", 2, nn.BatchNorm2d(inputs))
    yield Layer("act1", 2, nn.SiLU())
    total = 2
    for stage, (expansion, kernel, stride, features, repetitions) in enumerate(STAGES):
        blocks, outputs = nn.Sequential(), scaled_width(features, width)
        for index in range(ceil(repetitions * depth)):
            settings = {"kernel": kernel, "stride": stride if index == 0 else 1}
            blocks.append(MobileBlock(inputs, outputs, expansion=expansion, **settings))
            inputs = outputs
        total *= stride
        yield Layer(f"blocks.{stage}", total, blocks)


BACKBONES = {
    f"efficientnet_b{index}": partial(efficientnet, width=width, depth=depth)
    for index, (width, depth) in enumerate(SCALES)
}
