"""GoogLeNet, also called Inception v1.

As in the paper, without batch normalisation, but also without the auxiliary classifiers. 5 973 552
parameters for three channels; with the classifier 6 998 552, published as 7.0 million (table 1,
added up).

Source: Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, table 1 and figure 3. Response
normalisation: the authors' model in Caffe.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.encoders.base import Layer, halving_pool, padded_convolution

INCEPTIONS = {
    "3a": (8, (64, 96, 128, 16, 32, 32)),
    "3b": (8, (128, 128, 192, 32, 96, 64)),
    "4a": (16, (192, 96, 208, 16, 48, 64)),
    "4b": (16, (160, 112, 224, 24, 64, 64)),
    "4c": (16, (128, 128, 256, 24, 64, 64)),
    "4d": (16, (112, 144, 288, 32, 64, 64)),
    "4e": (16, (256, 160, 320, 32, 128, 128)),
    "5a": (32, (256, 160, 320, 32, 128, 128)),
    "5b": (32, (384, 192, 384, 48, 128, 128)),
}
"""Stride and widths of each inception module: 1 × 1, reduction before 3 × 3, 3 × 3, reduction
before 5 × 5, 5 × 5, projection after pooling. Source: table 1."""


def _rectified(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = padded_convolution(inputs, outputs, kernel, stride=stride)
    return nn.Sequential(convolution, nn.ReLU(inplace=True))


class Inception(nn.Module):
    """Convolutions of different sizes next to each other; their outputs are concatenated.

    Args:
        inputs: Input channels.
        widths: Widths as in `INCEPTIONS`.
    """

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        single, reduced_3, triple, reduced_5, quintuple, pooled = widths
        self.branches = nn.ModuleList(
            (
                _rectified(inputs, single, 1),
                nn.Sequential(_rectified(inputs, reduced_3, 1), _rectified(reduced_3, triple, 3)),
                nn.Sequential(
                    _rectified(inputs, reduced_5, 1), _rectified(reduced_5, quintuple, 5)
                ),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _rectified(inputs, pooled, 1)),
            )
        )

    @override
    def forward(self, maps: Tensor) -> Tensor:
        return torch.cat([branch(maps) for branch in self.branches], dim=1)


def googlenet(in_channels: int) -> Iterator[Layer]:
    """Create the layers up to the last inception module."""
    yield Layer("conv1", 2, _rectified(in_channels, 64, 7, stride=2))
    yield Layer("pool1", 4, halving_pool())
    yield Layer("norm1", 4, nn.LocalResponseNorm(5))
    yield Layer("reduce2", 4, _rectified(64, 64, 1))
    yield Layer("conv2", 4, _rectified(64, 192, 3))
    yield Layer("norm2", 4, nn.LocalResponseNorm(5))
    inputs, finer = 192, 4
    for name, (stride, widths) in INCEPTIONS.items():
        if stride > finer:
            yield Layer(f"pool{name[0]}", stride, halving_pool())
        yield Layer(f"inception_{name}", stride, Inception(inputs, widths))
        single, _, triple, _, quintuple, pooled = widths
        inputs, finer = single + triple + quintuple + pooled, stride


BACKBONES = {"googlenet": googlenet}
