"""Residual blocks with weight-standardised convolutions and group normalisation.

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
"""Kernel size of the first convolution along downsampled axes, voxels."""

POOLING_KERNEL = 3
"""Kernel size of max-pooling along downsampled axes, voxels."""

BOTTLENECK_SHARE = 4
"""Width of a block divided by its bottleneck width. Source: He et al., CVPR 2016, figure 5."""

MAX_GROUPS = 32
"""Largest number of groups in group normalisation. Source: Wu and He, ECCV 2018."""

GROUP_NORM_EPSILON = 1e-6
"""Epsilon of group normalisation. Source: code of Kolesnikov et al."""

STANDARD_EPSILON = 1e-5
"""Epsilon of weight standardisation. Source: code of Qiao et al., arXiv:1903.10520."""


def stem_kernel(kernel: Stride, stride: Stride) -> Stride:
    """Return the kernel size of the first convolution, which is larger along downsampled axes.

    Args:
        kernel: Kernel size of the other convolutions, voxels.
        stride: Downsampling factors.
    """
    return tuple(
        STEM_KERNEL if factor > 1 else size for size, factor in zip(kernel, stride, strict=True)
    )


def bottleneck_features(width: int) -> int:
    """Return the bottleneck width of a block."""
    return max(1, width // BOTTLENECK_SHARE)


def standardized_convolution(
    features: tuple[int, int], *, kernel: Stride, stride: Stride
) -> nn.Module:
    """Create a padded convolution with weight standardisation and without bias.

    Args:
        features: Input and output channels.
        kernel: Kernel size, odd, voxels.
        stride: Downsampling factors.

    Source: Qiao et al., arXiv:1903.10520, equations 6 to 9.
    """
    make: Callable[..., nn.Module] = (
        StandardizedConvolution2d if len(kernel) == 2 else StandardizedConvolution3d
    )
    padding = tuple(size // 2 for size in kernel)
    return make(*features, kernel, stride=stride, padding=padding, bias=False)


def standardize_kernels(weight: Tensor) -> Tensor:
    """Standardise each output channel's kernel to zero mean and unit variance."""
    return F.layer_norm(weight, weight.shape[1:], eps=STANDARD_EPSILON)


class StandardizedConvolution2d(nn.Conv2d):
    """2-D convolution with weight standardisation; see `standardized_convolution`."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        maps: Tensor = self._conv_forward(input, standardize_kernels(self.weight), None)
        return maps


class StandardizedConvolution3d(nn.Conv3d):
    """3-D convolution with weight standardisation; see `standardized_convolution`."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        maps: Tensor = self._conv_forward(input, standardize_kernels(self.weight), None)
        return maps


def group_norm(features: int) -> nn.GroupNorm:
    """Create a group normalisation with at least two features per group, if there are two.

    Two features per group make it work on feature maps of a single voxel.
    """
    groups = gcd(MAX_GROUPS, features)
    if groups == features:
        groups = max(1, groups // 2)
    return nn.GroupNorm(groups, features, eps=GROUP_NORM_EPSILON)


def overlapping_pooling(stride: Stride) -> nn.Module:
    """Create max-pooling over 3 voxels along each downsampled axis."""
    kernel = tuple(POOLING_KERNEL if factor > 1 else 1 for factor in stride)
    padding = tuple(size // 2 for size in kernel)
    make: Callable[..., nn.Module] = nn.MaxPool2d if len(stride) == 2 else nn.MaxPool3d
    return make(kernel, stride, padding)


def stem(features: tuple[int, int], *, kernel: Stride, stride: Stride) -> nn.Sequential:
    """Create the first convolution, with normalisation and ReLU.

    Args:
        features: Input and output channels.
        kernel: Kernel size of the other convolutions, voxels; see `stem_kernel`.
        stride: Downsampling factors.
    """
    wide = stem_kernel(kernel, stride)
    return nn.Sequential(
        standardized_convolution(features, kernel=wide, stride=stride),
        group_norm(features[1]),
        nn.ReLU(inplace=True),
    )


class Bottleneck(nn.Module):
    """Residual bottleneck block: a narrow convolution between two 1 × 1 convolutions.

    Args:
        features: Input and output channels.
        kernel: Kernel size of the middle convolution, voxels.
        stride: Stride of the middle convolution.
        is_projected: Whether a 1 × 1 convolution projects the skip connection.
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
            projection = standardized_convolution((inputs, width), kernel=one, stride=stride)
            self.skip = nn.Sequential(projection, InstanceNorm(width))

    @override
    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(self.skip(maps) + self.convolutions(maps))


def residual_stage(
    features: tuple[int, int], *, count: int, kernel: Stride, stride: Stride
) -> nn.Sequential:
    """Create a sequence of bottleneck blocks.

    Args:
        features: Input and output channels.
        count: Number of blocks.
        kernel: Kernel size of the middle convolutions, voxels.
        stride: Stride of the first block; the others have stride 1.
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
        features: Input and output channels.
        count: Number of blocks.
        kernel: Kernel size of the middle convolutions, voxels.
        voxels: Voxels of the input and of the output.
    """
    input_voxels, output_voxels = voxels
    inputs, width = features
    inside = bottleneck_features(width)
    yield ConvolutionRun(inputs, width, output_voxels)
    for block in range(count):
        is_first = block == 0
        yield ConvolutionRun(
            inputs if is_first else width, inside, input_voxels if is_first else output_voxels
        )
        yield ConvolutionRun(inside, inside, output_voxels, kernel)
        yield ConvolutionRun(inside, width, output_voxels)
