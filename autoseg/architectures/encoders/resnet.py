"""ResNet with 18, 34, 50, 101 or 152 layers, and ResNeXt, whose convolutions are grouped.

The 3 × 3 convolution of a bottleneck has the stride (as in torchvision), not the first 1 × 1
convolution. Blocks start as the identity (Goyal et al., arXiv:1706.02677, section 5.1). 23 508 032
parameters of ResNet-50 for three channels; with the classifier 25 557 032, published as 25.5
million (Xie et al., arXiv:1611.05431, table 1). `resnext50_32x4d` has 50 layers and 32 groups of 4
features in the first stage: 22 979 904 parameters; with the classifier 25 028 904, published as
25.0 million.

Source: He et al., arXiv:1512.03385, table 1; ResNeXt: Xie et al., table 1.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.encoders.base import Layer, halving_pool, padded_convolution

WIDTHS = (64, 128, 256, 512)

EXPANSION = 4
"""Output features of a bottleneck relative to its width."""


class ResidualBlock(nn.Module):
    """Sequence of convolutions whose output is added to their input.

    Args:
        features: Input channels, and output channels of each convolution.
        kernels: Kernel size of each convolution, pixels.
        stride: Stride of the first 3 × 3 convolution.
        groups: Groups of the first 3 × 3 convolution.
    """

    def __init__(
        self, features: tuple[int, ...], *, kernels: tuple[int, ...], stride: int, groups: int
    ) -> None:
        super().__init__()
        self.depth = len(kernels)
        for index, (inputs, outputs) in enumerate(pairwise(features)):
            settings = {"stride": stride, "groups": groups} if index == kernels.index(3) else {}
            convolution = padded_convolution(
                inputs, outputs, kernels[index], bias=False, **settings
            )
            self.add_module(f"conv{index + 1}", convolution)
            self.add_module(f"bn{index + 1}", nn.BatchNorm2d(outputs))
        nn.init.zeros_(self.get_parameter(f"bn{self.depth}.weight"))
        self.downsample: nn.Sequential | None = None
        inputs, outputs = features[0], features[-1]
        if inputs != outputs or stride > 1:
            projection = padded_convolution(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    @override
    def forward(self, maps: Tensor) -> Tensor:
        hidden = maps
        for index in range(1, self.depth + 1):
            hidden = self.get_submodule(f"conv{index}")(hidden)
            hidden = self.get_submodule(f"bn{index}")(hidden)
            if index < self.depth:
                hidden = F.relu(hidden, inplace=True)
        shortcut = maps if self.downsample is None else self.downsample(maps)
        return F.relu(hidden + shortcut, inplace=True)


def resnet(
    in_channels: int,
    *,
    blocks: tuple[int, ...],
    is_bottleneck: bool,
    groups: int = 1,
    group_width: int = 64,
) -> Iterator[Layer]:
    """Create the layers up to the last block.

    Args:
        in_channels: Image channels.
        blocks: Blocks of each of the four stages.
        is_bottleneck: Whether blocks reduce and expand their features.
        groups: Groups of the 3 × 3 convolutions of bottlenecks; 1 for ResNet.
        group_width: Features of each group in the first stage; 64 for ResNet.
    """
    yield Layer("conv1", 2, padded_convolution(in_channels, 64, 7, stride=2, bias=False))
    yield Layer("bn1", 2, nn.BatchNorm2d(64))
    yield Layer("act1", 2, nn.ReLU(inplace=True))
    yield Layer("maxpool", 4, halving_pool())
    kernels = (1, 3, 1) if is_bottleneck else (3, 3)
    inputs = 64
    for stage, (width, depth) in enumerate(zip(WIDTHS, blocks, strict=True)):
        inner = width * groups * group_width // 64
        outputs = (inner, inner, width * EXPANSION) if is_bottleneck else (width, width)
        modules = nn.Sequential()
        for index in range(depth):
            stride = 2 if index == 0 and stage > 0 else 1
            features = (inputs, *outputs)
            modules.append(ResidualBlock(features, kernels=kernels, stride=stride, groups=groups))
            inputs = outputs[-1]
        yield Layer(f"layer{stage + 1}", 4 * 2**stage, modules)


resnet50 = partial(resnet, blocks=(3, 4, 6, 3), is_bottleneck=True)
resnet101 = partial(resnet, blocks=(3, 4, 23, 3), is_bottleneck=True)

BACKBONES = {
    "resnet18": partial(resnet, blocks=(2, 2, 2, 2), is_bottleneck=False),
    "resnet34": partial(resnet, blocks=(3, 4, 6, 3), is_bottleneck=False),
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": partial(resnet, blocks=(3, 8, 36, 3), is_bottleneck=True),
    "resnext50_32x4d": partial(resnet50, groups=32, group_width=4),
    "resnext101_32x4d": partial(resnet101, groups=32, group_width=4),
    "resnext101_64x4d": partial(resnet101, groups=64, group_width=4),
    "resnext101_32x8d": partial(resnet101, groups=32, group_width=8),
}
