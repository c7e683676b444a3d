"""DenseNet with 121, 161, 169 or 201 layers.

6 953 856 parameters of DenseNet-121 for three channels; with the classifier 7 978 856, the number
that torchvision states.

Source: Huang et al., arXiv:1608.06993, table 1.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.encoders.base import Layer, halving_pool, padded_convolution

BOTTLENECK = 4
"""Features of the 1 × 1 convolution of a dense layer relative to its output."""


class DenseLayer(nn.Module):
    """Batch normalisation, ReLU and convolution, twice.

    Args:
        inputs: Input channels.
        growth: Output channels.
    """

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        inner = BOTTLENECK * growth
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = padded_convolution(inputs, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = padded_convolution(inner, growth, 3, bias=False)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        hidden = self.conv1(F.relu(self.norm1(maps), inplace=True))
        grown: Tensor = self.conv2(F.relu(self.norm2(hidden), inplace=True))
        return grown


class DenseBlock(nn.Module):
    """Dense layers; each receives the block's input and the outputs of all previous layers.

    Args:
        inputs: Input channels.
        growth: Channels that each layer adds.
        layers: Number of layers.
    """

    def __init__(self, inputs: int, growth: int, layers: int) -> None:
        super().__init__()
        for index in range(layers):
            self.add_module(f"denselayer{index + 1}", DenseLayer(inputs + index * growth, growth))

    @override
    def forward(self, maps: Tensor) -> Tensor:
        for layer in self.children():
            maps = torch.cat((maps, layer(maps)), dim=1)
        return maps


class Transition(nn.Sequential):
    """Halves the channels and the size of feature maps."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv = padded_convolution(inputs, inputs // 2, 1, bias=False)
        self.pool = nn.AvgPool2d(2)


def densenet(
    in_channels: int, *, growth: int, layers: tuple[int, ...], first_features: int
) -> Iterator[Layer]:
    """Create the layers up to the last normalisation.

    Args:
        in_channels: Image channels.
        growth: Channels that each dense layer adds.
        layers: Number of layers of each dense block.
        first_features: Features of the first convolution.
    """
    first = padded_convolution(in_channels, first_features, 7, stride=2, bias=False)
    yield Layer("features_conv0", 2, first)
    yield Layer("features_norm0", 2, nn.BatchNorm2d(first_features))
    yield Layer("features_relu0", 2, nn.ReLU(inplace=True))
    yield Layer("features_pool0", 4, halving_pool())
    features, stride = first_features, 4
    for block, depth in enumerate(layers, 1):
        if block > 1:
            stride *= 2
            yield Layer(f"features_transition{block - 1}", stride, Transition(features))
            features //= 2
        yield Layer(f"features_denseblock{block}", stride, DenseBlock(features, growth, depth))
        features += depth * growth
    yield Layer("features_norm5", stride, nn.BatchNorm2d(features))
    yield Layer("features_relu5", stride, nn.ReLU(inplace=True))


BACKBONES = {
    "densenet121": partial(densenet, growth=32, layers=(6, 12, 24, 16), first_features=64),
    "densenet161": partial(densenet, growth=48, layers=(6, 12, 36, 24), first_features=96),
    "densenet169": partial(densenet, growth=32, layers=(6, 12, 32, 32), first_features=64),
    "densenet201": partial(densenet, growth=32, layers=(6, 12, 48, 32), first_features=64),
}
