"""Layers shared by several networks: convolution, instance normalisation and leaky ReLU."""

from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

NEGATIVE_SLOPE = 0.01
"""Negative slope of the leaky ReLU, also assumed by He initialisation."""

NORM_EPSILON = 1e-5
"""Epsilon of instance normalisation."""

Stride = tuple[int, ...]


def convolution(num_axes: int) -> Callable[..., nn.Module]:
    """Return PyTorch's convolution class for 2 or 3 axes."""
    return nn.Conv2d if num_axes == 2 else nn.Conv3d


def transposed_convolution(num_axes: int) -> Callable[..., nn.Module]:
    """Return the class of unpadded transposed convolutions for 2 or 3 axes."""
    return UpConvolution2d if num_axes == 2 else UpConvolution3d


class UpConvolution2d(nn.ConvTranspose2d):
    """2-D transposed convolution with a fast bias gradient on a CPU."""

    @override
    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        return _conv_transpose(self, maps)


class UpConvolution3d(nn.ConvTranspose3d):
    """3-D transposed convolution with a fast bias gradient on a CPU."""

    @override
    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        return _conv_transpose(self, maps)


def _conv_transpose(layer: nn.ConvTranspose2d | nn.ConvTranspose3d, maps: Tensor) -> Tensor:
    """Apply a transposed convolution without padding.

    oneDNN takes several times as long for the bias gradient as for the rest of the backward pass.
    On a CPU, the convolution therefore uses a detached bias, and adding a zero tensor that depends
    on the bias provides the gradient.
    """
    convolve = F.conv_transpose2d if maps.ndim == 4 else F.conv_transpose3d
    bias = layer.bias
    if bias is None or maps.device.type != "cpu" or not torch.is_grad_enabled():
        return convolve(maps, layer.weight, bias, layer.stride)
    up = convolve(maps, layer.weight, bias.detach(), layer.stride)
    zero = (bias - bias.detach()).to(up.dtype)
    return up.add_(zero.view(-1, *(1,) * (maps.ndim - 2)))


def average_pooling(num_axes: int) -> Callable[..., nn.Module]:
    """Return PyTorch's average pooling class for 2 or 3 axes."""
    return nn.AvgPool2d if num_axes == 2 else nn.AvgPool3d


LARGEST_MERGED_SAMPLE = 2**17
"""Largest sample (number of values) for which channels-last batches on a CPU are normalised at
once. This converts the memory layout back and forth, which costs two copies instead of 0.25 ms per
sample. 32 samples of 2^15 values take 1.2 ms instead of 10 ms; of 2^20 values, 111 ms instead of
36 ms."""


class InstanceNorm(nn.Module):
    """Instance normalisation with a learnt scale and shift.

    A feature map of a single voxel has no statistics and is only scaled and shifted. (PyTorch's
    layer raises an error, which would rule out small inputs to deep networks.)

    The output is never a view of another tensor: an in-place ReLU on a view would make autograd
    copy the gradient several times. On a CPU, channels-last inputs stay channels-last; PyTorch's
    layer would convert the layout, and the next convolution would convert it back.

    Source: Ulyanov et al., arXiv:1607.08022, equation 4.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    @override
    def forward(self, maps: Tensor) -> Tensor:
        if prod(maps.shape[2:]) == 1:
            per_feature = (1, -1, *(1,) * (maps.ndim - 2))
            scale, shift = self.weight.view(per_feature), self.bias.view(per_feature)
            return (maps * scale + shift).to(maps.dtype)
        if maps.device.type == "cpu" and not maps.is_contiguous():
            if len(maps) > 1 and maps[0].numel() <= LARGEST_MERGED_SAMPLE:
                layout = torch.channels_last if maps.ndim == 4 else torch.channels_last_3d
                return self._merge_samples(maps.contiguous()).contiguous(memory_format=layout)
            parts = [_normalise(each, self.weight, self.bias) for each in torch.split(maps, 1)]
            return torch.cat(parts) if len(parts) > 1 else parts[0]
        return self._merge_samples(maps)

    def _merge_samples(self, maps: Tensor) -> Tensor:
        """Normalise the batch as a single sample that has the channels of all samples.

        A single sample is not reshaped: with a view of the same shape, PyTorch 2.13 computes wrong
        gradients if the incoming gradient has a different memory layout.
        """
        if len(maps) == 1:
            return _normalise(maps, self.weight, self.bias)
        # Batch normalisation of one sample normalises each channel separately.
        samples, merged = len(maps), maps.reshape(1, -1, *maps.shape[2:])
        normalised = _normalise(merged, self.weight.repeat(samples), self.bias.repeat(samples))
        result: Tensor = torch.ops.aten._unsafe_view(normalised, maps.shape)  # noqa: SLF001
        return result


def _normalise(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Normalise each feature to zero mean and unit variance, then scale and shift."""
    return F.batch_norm(maps, None, None, scale, shift, training=True, eps=NORM_EPSILON)


def normalised_convolution(
    features: tuple[int, int], *, kernel: Stride, stride: Stride
) -> tuple[nn.Module, InstanceNorm]:
    """Create a padded convolution and its instance normalisation.

    Args:
        features: Input and output channels.
        kernel: Kernel size, odd, voxels.
        stride: Downsampling factors.
    """
    inputs, width = features
    padding = tuple(size // 2 for size in kernel)
    make = convolution(len(kernel))
    return make(inputs, width, kernel, stride=stride, padding=padding), InstanceNorm(width)


def rectifier() -> nn.Module:
    """Return an in-place leaky ReLU."""
    return nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)


class ConvolutionStack(nn.Sequential):
    """Sequence of convolution, instance normalisation and leaky ReLU, repeated `count` times.

    Args:
        features: Input and output channels.
        count: Number of convolutions.
        kernel: Kernel size, voxels.
        stride: Stride of the first convolution; the others have stride 1.
    """

    def __init__(
        self, features: tuple[int, int], *, count: int, kernel: Stride, stride: Stride
    ) -> None:
        layers: list[nn.Module] = []
        inputs, width = features
        for index in range(count):
            is_first = index == 0
            layers += normalised_convolution(
                (inputs if is_first else width, width),
                kernel=kernel,
                stride=stride if is_first else (1,) * len(kernel),
            )
            layers.append(rectifier())
        super().__init__(*layers)


class DecoderStage(nn.Module):
    """Decoder stage: upsample, concatenate the skip connection, and convolve.

    Args:
        features: Channels of the stage below and of this stage.
        count: Number of convolutions.
        kernel: Kernel size, voxels.
        stride: Stride between this stage and the stage below.
    """

    def __init__(
        self, features: tuple[int, int], *, count: int, kernel: Stride, stride: Stride
    ) -> None:
        super().__init__()
        below, width = features
        self.up = transposed_convolution(len(stride))(below, width, stride, stride=stride)
        self.convolutions = ConvolutionStack(
            (2 * width, width), count=count, kernel=kernel, stride=(1,) * len(stride)
        )

    @override
    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.convolutions(torch.cat((self.up(below), skip), dim=1))
        return joined


def initialise(module: nn.Module) -> None:
    """Initialise a convolution: He normal weights and zero biases.

    Source: He et al., ICCV 2015, equation 10, with the gain of the leaky ReLU.
    """
    convolutions = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    if isinstance(module, convolutions):
        nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
