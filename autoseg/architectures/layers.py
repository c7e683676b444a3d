"""Convolutions with normalisation and rectifier: the layers that several networks are made of."""

from collections.abc import Callable
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

NEGATIVE_SLOPE = 0.01
"""Slope of the leaky rectifier below zero, and the slope that He initialisation assumes."""

NORM_EPSILON = 1e-5
"""Added to the variance in instance normalisation."""

Stride = tuple[int, ...]


def convolution(num_axes: int) -> Callable[..., nn.Module]:
    """Return torch's convolution for 2 or 3 axes."""
    return nn.Conv2d if num_axes == 2 else nn.Conv3d


def transposed_convolution(num_axes: int) -> Callable[..., nn.Module]:
    """Return the transposed convolution for 2 or 3 axes, which does not pad."""
    return UpConvolution2d if num_axes == 2 else UpConvolution3d


class UpConvolution2d(nn.ConvTranspose2d):
    """torch's transposed convolution, with a fast gradient of the bias on a CPU."""

    @override
    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        return _brought_up(self, maps)


class UpConvolution3d(nn.ConvTranspose3d):
    """torch's transposed convolution, with a fast gradient of the bias on a CPU."""

    @override
    def forward(self, maps: Tensor) -> Tensor:  # type: ignore[override]
        return _brought_up(self, maps)


def _brought_up(layer: nn.ConvTranspose2d | nn.ConvTranspose3d, maps: Tensor) -> Tensor:
    """Return what a transposed convolution without padding makes of maps.

    oneDNN takes several times as long for the gradient of the bias as for all the rest of the
    backward pass. So there the convolution has no such gradient, and an addition of 0 has it.
    """
    convolve = F.conv_transpose2d if maps.ndim == 4 else F.conv_transpose3d
    bias = layer.bias
    if bias is None or maps.device.type != "cpu" or not torch.is_grad_enabled():
        return convolve(maps, layer.weight, bias, layer.stride)
    up = convolve(maps, layer.weight, bias.detach(), layer.stride)
    nothing = (bias - bias.detach()).to(up.dtype)
    return up.add_(nothing.view(-1, *(1,) * (maps.ndim - 2)))


def average_pooling(num_axes: int) -> Callable[..., nn.Module]:
    """Return torch's average pooling for 2 or 3 axes."""
    return nn.AvgPool2d if num_axes == 2 else nn.AvgPool3d


LARGEST_MERGED_SAMPLE = 2**17
"""Values of a sample, all features together, up to which several samples on a CPU are normalised at
once where channels are last: they are brought to the other layout and back, which costs two copies
instead of a quarter of a millisecond per sample. 32 samples of 2^15 values take 1.2 instead of
10 ms; of 2^20 values, 111 instead of 36."""


class InstanceNorm(nn.Module):
    """Zero mean and unit variance per sample and feature, then a learnt scale and shift.

    A map of a single voxel has no statistics: it is scaled and shifted only. (torch's own layer
    raises there, which would forbid small inputs to deep networks.)

    What comes out is no view of another tensor: a rectifier that overwrites a view would make
    autograd copy its gradient several times over. On a CPU, maps whose channels are last stay so;
    torch's layer would bring them to the other layout, and the next convolution back.

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
                return self._merged(maps.contiguous()).contiguous(memory_format=layout)
            parts = [_normal(each, self.weight, self.bias) for each in torch.split(maps, 1)]
            return torch.cat(parts) if len(parts) > 1 else parts[0]
        return self._merged(maps)

    def _merged(self, maps: Tensor) -> Tensor:
        """Return the normalised maps; the channels of all samples are those of one.

        A single sample stays as it is: of a view without a change, torch 2.13 computes wrong
        gradients where those that come back have another layout.
        """
        if len(maps) == 1:
            return _normal(maps, self.weight, self.bias)
        # As many samples of one feature are one sample of as many features.
        samples, merged = len(maps), maps.reshape(1, -1, *maps.shape[2:])
        normal = _normal(merged, self.weight.repeat(samples), self.bias.repeat(samples))
        result: Tensor = torch.ops.aten._unsafe_view(normal, maps.shape)  # noqa: SLF001
        return result


def _normal(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return maps of zero mean and unit variance per feature, scaled and shifted."""
    return F.batch_norm(maps, None, None, scale, shift, training=True, eps=NORM_EPSILON)


def normalised_convolution(
    features: tuple[int, int], *, kernel: Stride, stride: Stride
) -> tuple[nn.Module, InstanceNorm]:
    """Return a convolution that keeps the size up to its stride, and its instance normalisation.

    Args:
        features: Channels in and out.
        kernel: Odd sizes, voxels.
        stride: Downsampling factors.
    """
    inputs, width = features
    padding = tuple(size // 2 for size in kernel)
    make = convolution(len(kernel))
    return make(inputs, width, kernel, stride=stride, padding=padding), InstanceNorm(width)


def rectifier() -> nn.Module:
    """Return the leaky rectifier; it overwrites its input, which saves memory."""
    return nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)


class ConvolutionStack(nn.Sequential):
    """Convolution, instance normalisation and leaky rectifier, `count` times.

    Args:
        features: Channels in and out.
        count: Number of convolutions.
        kernel: Size of each, voxels.
        stride: Of the first convolution; the others keep the resolution.
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
    """Bring the maps from below up to this resolution, join the skip connection, and convolve.

    Args:
        features: Channels of the stage below and of this one.
        count: Number of convolutions.
        kernel: Size of each, voxels.
        stride: Between this stage and the one below.
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
    """Draw a convolution's weights by He's rule and set its biases to 0.

    Source: He et al., ICCV 2015, equation 10, with the leaky rectifier's gain.
    """
    convolutions = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    if isinstance(module, convolutions):
        nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
