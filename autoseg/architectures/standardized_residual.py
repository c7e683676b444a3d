"""Residual blocks of standardised convolutions and group normalisation, which batches do not mix.

Source: Kolesnikov et al., ECCV 2020, arXiv:1912.11370, section 3.1: ResNet-v2 of "Big Transfer".
"""

from collections.abc import Callable, Iterator
from math import gcd

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.convolutions import ConvolutionRun
from autoseg.architectures.layers import InstanceNorm, Stride

STEM_KERNEL = 7
"""Voxels that the first convolution spans along an axis that it halves."""

POOLING_KERNEL = 3
"""Voxels that max-pooling looks at along an axis that it halves."""

BOTTLENECK_SHARE = 4
"""How many times narrower a block is inside. Source: He et al., CVPR 2016, figure 5."""

MOST_GROUPS = 32
"""Groups of features that are normalised together. Source: Wu and He, ECCV 2018."""

GROUP_NORM_EPSILON = 1e-6
"""Added to the variance of a group. Source: the code of Kolesnikov et al."""

STANDARD_EPSILON = 1e-5
"""Added to the variance of a kernel. Source: Qiao et al., arXiv:1903.10520, code."""


def stem_kernel(kernel: Stride, stride: Stride) -> Stride:
    """Return the kernel of the first convolution: wide along the axes that it makes coarser.

    Args:
        kernel: That of other convolutions, voxels.
        stride: Downsampling factors.
    """
    return tuple(
        STEM_KERNEL if factor > 1 else size for size, factor in zip(kernel, stride, strict=True)
    )


def bottleneck_features(width: int) -> int:
    """Return the features inside a block of that width."""
    return max(1, width // BOTTLENECK_SHARE)


def standardized_convolution(
    features: tuple[int, int], *, kernel: Stride, stride: Stride
) -> nn.Module:
    """Return a convolution without bias whose kernels have zero mean and unit variance each.

    Args:
        features: Channels in and out.
        kernel: Odd sizes, voxels.
        stride: Downsampling factors.

    Source: Qiao et al., arXiv:1903.10520, equations 6 to 9.
    """
    make: Callable[..., nn.Module] = (
        StandardizedConvolution2d if len(kernel) == 2 else StandardizedConvolution3d
    )
    padding = tuple(size // 2 for size in kernel)
    return make(*features, kernel, stride=stride, padding=padding, bias=False)


def standardized(weight: Tensor) -> Tensor:
    """Return kernels, one per output, with zero mean and unit variance each."""
    return F.layer_norm(weight, weight.shape[1:], eps=STANDARD_EPSILON)


class StandardizedConvolution2d(nn.Conv2d):
    """In 2-D; see `standardized_convolution`."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, standardized(self.weight), stride=self.stride, padding=self.padding)


class StandardizedConvolution3d(nn.Conv3d):
    """In 3-D; see `standardized_convolution`."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        return F.conv3d(input, standardized(self.weight), stride=self.stride, padding=self.padding)


def group_norm(features: int) -> nn.GroupNorm:
    """Return a group normalisation, of at least two features per group if there are two.

    So it also works on maps of a single voxel.
    """
    groups = gcd(MOST_GROUPS, features)
    if groups == features:
        groups = max(1, groups // 2)
    return nn.GroupNorm(groups, features, eps=GROUP_NORM_EPSILON)


def overlapping_pooling(stride: Stride) -> nn.Module:
    """Return max-pooling over 3 voxels along each axis that it makes coarser."""
    kernel = tuple(POOLING_KERNEL if factor > 1 else 1 for factor in stride)
    padding = tuple(size // 2 for size in kernel)
    make: Callable[..., nn.Module] = nn.MaxPool2d if len(stride) == 2 else nn.MaxPool3d
    return make(kernel, stride, padding)


def stem(features: tuple[int, int], *, kernel: Stride, stride: Stride) -> nn.Sequential:
    """Return the first convolution, with normalisation and rectifier.

    Args:
        features: Channels in and out.
        kernel: That of other convolutions, voxels; the stem's is wider.
        stride: Downsampling factors.
    """
    wide = stem_kernel(kernel, stride)
    return nn.Sequential(
        standardized_convolution(features, kernel=wide, stride=stride),
        group_norm(features[1]),
        nn.ReLU(inplace=True),
    )


class Bottleneck(nn.Module):
    """Three convolutions, narrow between 1 × 1 ones, added to what came in.

    Args:
        features: Channels in and out.
        kernel: Size of the convolution in the middle, voxels.
        stride: Of that convolution.
        is_projected: Whether a further convolution adapts what came in.
    """

    def __init__(
        self, features: tuple[int, int], *, kernel: Stride, stride: Stride, is_projected: bool
    ) -> None:
        super().__init__()
        inputs, width = features
        inside, one = bottleneck_features(width), (1,) * len(kernel)
        self.convolutions = nn.Sequential(
            standardized_convolution((inputs, inside), kernel=one, stride=one),
            group_norm(inside),
            nn.ReLU(inplace=True),
            standardized_convolution((inside, inside), kernel=kernel, stride=stride),
            group_norm(inside),
            nn.ReLU(inplace=True),
            standardized_convolution((inside, width), kernel=one, stride=one),
            group_norm(width),
        )
        self.skip = nn.Sequential()
        if is_projected:
            adapted = standardized_convolution((inputs, width), kernel=one, stride=stride)
            self.skip = nn.Sequential(adapted, InstanceNorm(width))

    @override
    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.skip(maps) + self.convolutions(maps))


def residual_stage(
    features: tuple[int, int], *, count: int, kernel: Stride, stride: Stride
) -> nn.Sequential:
    """Return blocks one after another.

    Args:
        features: Channels in and out.
        count: Number of blocks.
        kernel: Size of their middle convolutions, voxels.
        stride: Of the first block; the others keep the resolution.
    """
    width, same = features[1], (1,) * len(kernel)
    blocks = [Bottleneck(features, kernel=kernel, stride=stride, is_projected=True)]
    blocks += [
        Bottleneck((width, width), kernel=kernel, stride=same, is_projected=False)
        for _ in range(count - 1)
    ]
    return nn.Sequential(*blocks)


def residual_runs(
    features: tuple[int, int], *, count: int, kernel: Stride, voxels: tuple[int, int]
) -> Iterator[ConvolutionRun]:
    """Yield the convolutions of a `residual_stage`.

    Args:
        features: Channels in and out.
        count: Number of blocks.
        kernel: Size of their middle convolutions, voxels.
        voxels: Of the maps that come in and go out.
    """
    entering, leaving = voxels
    inputs, width = features
    inside = bottleneck_features(width)
    yield ConvolutionRun(inputs, width, leaving)
    for block in range(count):
        is_first = block == 0
        yield ConvolutionRun(
            inputs if is_first else width, inside, entering if is_first else leaving
        )
        yield ConvolutionRun(inside, inside, leaving, kernel)
        yield ConvolutionRun(inside, width, leaving)
