"""ShuffleNet V1: `shufflenetv1_100_g3` has the width 1 and convolutions of 3 groups.

It has 904 728 parameters for three channels; with the classifier 1 865 728, published as 1.9
million (https://github.com/megvii-model/ShuffleNet-Series, of the authors).

Source: Zhang et al., arXiv:1707.01083, table 1 and figure 2; widths: table 2; all channels are
scaled by the width, as section 3.2 says.
"""

from collections.abc import Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.encoders.base import Layer, halving_pool, padded_convolution

FIRST_FEATURES = 24

STAGE_FEATURES = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""Features of the first stage by number of groups; they double at each further stage."""

UNITS = (4, 8, 4)
"""Units of each stage; the first of them halves both axes."""

BOTTLENECK = 4
"""Output features of a unit relative to the features of its 3 × 3 convolution."""


class ShuffleUnit(nn.Module):
    """Bottleneck of grouped convolutions that exchanges channels between the groups.

    If it halves both axes, its output is concatenated with the averaged input, otherwise added to
    the input.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        groups: Groups of the first and the last convolution.
        is_halving: Whether to halve both axes.
    """

    def __init__(
        self, inputs: int, outputs: int, groups: tuple[int, int], *, is_halving: bool
    ) -> None:
        super().__init__()
        inner, first_groups, last_groups = outputs // BOTTLENECK, *groups
        added, stride = (outputs - inputs, 2) if is_halving else (outputs, 1)
        self.is_halving = is_halving
        self.groups = first_groups
        self.conv1 = padded_convolution(inputs, inner, 1, groups=first_groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = padded_convolution(inner, inner, 3, stride=stride, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = padded_convolution(inner, added, 1, groups=last_groups, bias=False)
        self.bn3 = nn.BatchNorm2d(added)

    @override
    def forward(self, maps: Tensor) -> Tensor:
        hidden = F.relu(self.bn1(self.conv1(maps)), inplace=True)
        hidden = self.bn2(self.conv2(F.channel_shuffle(hidden, self.groups)))
        hidden = self.bn3(self.conv3(hidden))
        if not self.is_halving:
            return F.relu(hidden + maps, inplace=True)
        averaged = F.avg_pool2d(maps, 3, stride=2, padding=1)
        return F.relu(torch.cat((averaged, hidden), dim=1), inplace=True)


def shufflenet_v1(in_channels: int, *, percent: int, groups: int) -> Iterator[Layer]:
    """Create the layers up to the last unit.

    Args:
        in_channels: Image channels.
        percent: Features relative to the network of width 1, percent.
        groups: Groups of the 1 × 1 convolutions.
    """
    inputs = FIRST_FEATURES * percent // 100
    first = padded_convolution(in_channels, inputs, 3, stride=2, bias=False)
    norm = nn.BatchNorm2d(inputs)
    yield Layer("conv1", 2, nn.Sequential(first, norm, nn.ReLU(inplace=True)))
    yield Layer("maxpool", 4, halving_pool())
    for stage, depth in enumerate(UNITS):
        units, outputs = nn.Sequential(), 2**stage * STAGE_FEATURES[groups] * percent // 100
        for index in range(depth):
            # The very first convolution has too few input channels for groups (section 3.3).
            first_groups = 1 if stage == index == 0 else groups
            settings = (inputs, outputs, (first_groups, groups))
            units.append(ShuffleUnit(*settings, is_halving=index == 0))
            inputs = outputs
        yield Layer(f"stage{stage + 2}", 8 * 2**stage, units)


BACKBONES = {
    f"shufflenetv1_{percent:03}_g{groups}": partial(shufflenet_v1, percent=percent, groups=groups)
    for percent, groups in (
        *((100, groups) for groups in STAGE_FEATURES),
        *((percent, 3) for percent in (50, 150, 200)),
    )
}
