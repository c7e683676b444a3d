"""MobileNet V1 with the widths 1, 0.75, 0.5 and 0.25: `mobilenetv1_100` to `mobilenetv1_025`.

ReLU is limited to 6, as in the authors' code. 3 206 976 parameters of width 1 for three channels;
with the classifier 4 231 976, published as 4.2 million.

Source: Howard et al., arXiv:1704.04861, table 1; widths: table 6.
"""

from collections.abc import Iterator
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.encoders.base import Layer, padded_convolution

FIRST_FEATURES = 32

STAGES = ((64, 1), (128, 2), (256, 2), (512, 6), (1024, 2))
"""Features of each stage, and its number of blocks."""


class SeparableBlock(nn.Module):
    """3 × 3 convolution of each channel alone, then 1 × 1 convolution.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        stride: Stride of the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = padded_convolution(
            inputs, inputs, 3, stride=stride, groups=inputs, bias=False
        )
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv_pw = padded_convolution(inputs, outputs, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        hidden = F.relu6(self.bn1(self.conv_dw(maps)), inplace=True)
        return F.relu6(self.bn2(self.conv_pw(hidden)), inplace=True)


def mobilenet_v1(in_channels: int, *, percent: int) -> Iterator[Layer]:
    """Create the layers up to the last block.

    Args:
        in_channels: Image channels.
        percent: Features relative to the paper's network of width 1, percent.
    """
    inputs = FIRST_FEATURES * percent // 100
    first = padded_convolution(in_channels, inputs, 3, stride=2, bias=False)
    yield Layer("conv_stem", 2, first)
    yield Layer("bn1", 2, nn.BatchNorm2d(inputs))
    yield Layer("act1", 2, nn.ReLU6(inplace=True))
    for stage, (features, depth) in enumerate(STAGES):
        blocks, width = nn.Sequential(), features * percent // 100
        for index in range(depth):
            blocks.append(SeparableBlock(inputs, width, 2 if index == 0 and stage > 0 else 1))
            inputs = width
        yield Layer(f"blocks.{stage}", 2 ** (stage + 1), blocks)


BACKBONES = {
    f"mobilenetv1_{percent:03}": partial(mobilenet_v1, percent=percent)
    for percent in (100, 75, 50, 25)
}
