"""LeNet-5, the convolutional network for handwritten digits.

Layers C1 to C5 are used; C5 is a convolution, because the paper's images have the size of its
kernel. Convolutions are padded here. 49 836 parameters for one channel, and 10 164 in layer F6:
60 000 as published.

Source: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proceedings of the
IEEE 1998, section II.B, table I and appendix A.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.encoders.base import Layer, padded_convolution

CONNECTIONS = (
    ((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (4, 5, 0), (5, 0, 1)),
    (
        *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (3, 4, 5, 0), (4, 5, 0, 1), (5, 0, 1, 2)),
        *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    ),
    ((0, 1, 2, 3, 4, 5),),
)
"""Feature maps of S2 that each feature map of C3 receives, grouped by their number. Source: table
I."""


class ScaledTanh(nn.Module):
    """Scaled hyperbolic tangent, which maps ±1 to ±1. Source: appendix A."""

    @override
    def forward(self, maps: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 / 3 * maps)


def subsampling(features: int) -> nn.Sequential:
    """Create a layer that averages 2 × 2 pixels and learns a factor and a bias per feature map."""
    return nn.Sequential(
        nn.AvgPool2d(2), nn.Conv2d(features, features, 1, groups=features), ScaledTanh()
    )


class PartiallyConnected(nn.Module):
    """Layer C3: each feature map is a convolution of some feature maps of S2."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = nn.ModuleList(
            padded_convolution(sum(map(len, sources)), len(sources), 5, groups=len(sources))
            for sources in CONNECTIONS
        )

    @override
    def forward(self, maps: Tensor) -> Tensor:
        outputs = [
            convolution(torch.cat([maps[:, index : index + 1] for index in sum(sources, ())], 1))
            for convolution, sources in zip(self.groups, CONNECTIONS, strict=True)
        ]
        return torch.cat(outputs, dim=1)


def lenet5(in_channels: int) -> Iterator[Layer]:
    """Create the layers C1 to C5."""
    yield Layer("c1", 1, nn.Sequential(padded_convolution(in_channels, 6, 5), ScaledTanh()))
    yield Layer("s2", 2, subsampling(6))
    yield Layer("c3", 2, nn.Sequential(PartiallyConnected(), ScaledTanh()))
    yield Layer("s4", 4, subsampling(16))
    yield Layer("c5", 4, nn.Sequential(padded_convolution(16, 120, 5), ScaledTanh()))


BACKBONES = {"lenet5": lenet5}
