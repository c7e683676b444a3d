"""The plain U-Net: convolutions down, convolutions up, and skip connections between the two.

Source: Ronneberger et al., MICCAI 2015; the variant of Isensee et al., Nature Methods 18 (2021),
Methods, "Network architecture".
"""

from collections.abc import Callable, Iterator
from math import prod
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import (
    ARCHITECTURES,
    Architecture,
    MemoryReference,
    NetworkOutput,
    Topology,
)

BASE_FEATURES = 32
"""Features of the first stage; each further stage has twice as many."""

COMPACT_BASE_FEATURES = 16
"""Features of the first stage of the compact variant."""

MOST_FEATURES = {2: 512, 3: 320}
"""Features that no stage exceeds, by number of axes."""

CONVOLUTIONS_PER_STAGE = 2

NEGATIVE_SLOPE = 0.01
"""Slope of the leaky rectifier below zero, and the slope that He initialisation assumes."""

NORM_EPSILON = 1e-5
"""Added to the variance in instance normalisation."""

Stride = tuple[int, ...]


@ARCHITECTURES.register
class UNet(Architecture):
    """Configuration of the plain U-Net.

    Attributes:
        features: Per stage, from the full resolution down.
        encoder_convolutions: Per stage, the first of which halves the resolution.
        decoder_convolutions: Per stage but the lowest, from the full resolution down.
        deep_supervision: Whether coarser decoder stages give scores too, in training.
    """

    memory_references: ClassVar[dict[int, MemoryReference]] = {
        2: MemoryReference(activations=85e6, batch_size=12, memory_gib=8.0),
        3: MemoryReference(activations=560e6, batch_size=2, memory_gib=8.0),
    }
    """Source: nnU-Net 2.8.1, measured by its authors on an 11 GiB card."""

    kind: Literal["unet"] = "unet"
    features: tuple[PositiveInt, ...]
    encoder_convolutions: tuple[PositiveInt, ...]
    decoder_convolutions: tuple[PositiveInt, ...]
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _check(self) -> "UNet":
        stages = len(self.topology.strides)
        found = len(self.features), len(self.encoder_convolutions), len(self.decoder_convolutions)
        if found != (stages, stages, stages - 1):
            msg = (
                f"a topology of {stages} stages needs {stages} features, {stages} "
                f"encoder_convolutions and {stages - 1} decoder_convolutions; found "
                f"{found[0]}, {found[1]} and {found[2]}."
            )
            raise ValueError(msg)
        return self

    @classmethod
    @override
    def for_topology(cls, topology: Topology, *, in_channels: int, num_classes: int) -> "UNet":
        return cls._of_width(BASE_FEATURES, topology, in_channels, num_classes)

    @override
    def compact(self) -> "UNet":
        return self._of_width(
            COMPACT_BASE_FEATURES, self.topology, self.in_channels, self.num_classes
        )

    @classmethod
    def _of_width(
        cls, base_features: int, topology: Topology, in_channels: int, num_classes: int
    ) -> "UNet":
        """Return the network whose features double from `base_features` up to the cap."""
        stages = len(topology.strides)
        cap = MOST_FEATURES[topology.num_axes]
        return cls(
            topology=topology,
            in_channels=in_channels,
            num_classes=num_classes,
            features=tuple(min(base_features * 2**stage, cap) for stage in range(stages)),
            encoder_convolutions=(CONVOLUTIONS_PER_STAGE,) * stages,
            decoder_convolutions=(CONVOLUTIONS_PER_STAGE,) * (stages - 1),
        )

    @override
    def activation_count(self) -> int:
        """Return the number of values that all convolutions put out at the planned patch.

        Transposed convolutions count, and of the 1 × 1 heads only the one at full resolution.

        Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 2.
        """
        voxels = self._stage_voxels()
        count = self.num_classes * voxels[0]
        for stage, size in enumerate(voxels):
            convolutions = self.encoder_convolutions[stage]
            if stage < len(self.decoder_convolutions):
                convolutions += self.decoder_convolutions[stage] + 1  # one to come up from below
            count += convolutions * self.features[stage] * size
        return count

    @override
    def multiplication_count(self) -> int:
        voxels, features, kernels = self._stage_voxels(), self.features, self.topology.kernels
        count = self.num_classes * features[0] * voxels[0]
        for stage, size in enumerate(voxels):
            width = features[stage]
            below = features[stage - 1] if stage else self.in_channels
            inputs = below + (self.encoder_convolutions[stage] - 1) * width
            if stage < len(self.decoder_convolutions):
                inputs += (self.decoder_convolutions[stage] + 1) * width
                count += features[stage + 1] * width * size
            count += inputs * width * size * prod(kernels[stage])
        return count

    def _stage_voxels(self) -> list[int]:
        """Return the number of voxels of each stage's feature maps."""
        sizes = [prod(self.topology.patch_shape)]
        for stride in self.topology.strides[1:]:
            sizes.append(sizes[-1] // prod(stride))
        return sizes

    @override
    def build(self) -> nn.Module:
        return UNetModule(self)


class UNetModule(nn.Module):
    """The network that `UNet` describes; stages are listed from the full resolution down."""

    def __init__(self, config: UNet) -> None:
        super().__init__()
        topology, features = config.topology, config.features
        inputs = (config.in_channels, *features)
        self.encoder = nn.ModuleList(
            ConvolutionStack(
                (inputs[stage], features[stage]),
                count=config.encoder_convolutions[stage],
                kernel=topology.kernels[stage],
                stride=topology.strides[stage],
            )
            for stage in range(len(features))
        )
        self.decoder = nn.ModuleList(
            DecoderStage(
                (features[stage + 1], features[stage]),
                count=count,
                kernel=topology.kernels[stage],
                stride=topology.strides[stage + 1],
            )
            for stage, count in enumerate(config.decoder_convolutions)
        )
        # The lowest decoder stage has no head: deep supervision would give it weight 0.
        heads = max(1, len(self.decoder) - 1) if config.deep_supervision else 1
        self.heads = nn.ModuleList(
            _convolution(topology.num_axes)(features[stage], config.num_classes, 1)
            for stage in range(heads)
        )
        self.apply(_initialise)

    @override
    def forward(self, images: Tensor) -> NetworkOutput:
        maps = images
        skips = []
        for stage in self.encoder:
            maps = stage(maps)
            skips.append(maps)
        skips.pop()
        decoded = [maps]
        for stage in reversed(self.decoder):
            decoded.append(stage(decoded[-1], skips.pop()))
        finest_first = zip(self.heads, reversed(decoded), strict=False)
        return NetworkOutput(*self._scores(finest_first))

    def _scores(
        self, pairs: Iterator[tuple[nn.Module, Tensor]]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        head, maps = next(pairs)
        logits = head(maps)
        if not self.training:
            return logits, ()
        return logits, tuple(head(maps) for head, maps in pairs)


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
        padding = tuple(size // 2 for size in kernel)
        for index in range(count):
            layers += [
                _convolution(len(kernel))(
                    inputs if index == 0 else width,
                    width,
                    kernel,
                    stride=stride if index == 0 else 1,
                    padding=padding,
                ),
                InstanceNorm(width),
                nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True),
            ]
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
        self.up = _transposed_convolution(len(stride))(below, width, stride, stride=stride)
        self.convolutions = ConvolutionStack(
            (2 * width, width), count=count, kernel=kernel, stride=(1,) * len(stride)
        )

    @override
    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.convolutions(torch.cat((self.up(below), skip), dim=1))
        return joined


class InstanceNorm(nn.Module):
    """Zero mean and unit variance per sample and feature, then a learnt scale and shift.

    A map of a single voxel has no statistics: it is scaled and shifted only. (torch's own layer
    raises there, which would forbid small inputs to deep networks.)

    Source: Ulyanov et al., arXiv:1607.08022, equation 4.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    @override
    def forward(self, maps: Tensor) -> Tensor:
        if prod(maps.shape[2:]) > 1:
            return F.instance_norm(maps, weight=self.weight, bias=self.bias, eps=NORM_EPSILON)
        per_feature = (1, -1, *(1,) * (maps.ndim - 2))
        scale, shift = self.weight.view(per_feature), self.bias.view(per_feature)
        return (maps * scale + shift).to(maps.dtype)


def _convolution(num_axes: int) -> Callable[..., nn.Module]:
    return nn.Conv2d if num_axes == 2 else nn.Conv3d


def _transposed_convolution(num_axes: int) -> Callable[..., nn.Module]:
    return nn.ConvTranspose2d if num_axes == 2 else nn.ConvTranspose3d


def _initialise(module: nn.Module) -> None:
    """Draw a convolution's weights by He's rule and set its biases to 0.

    Source: He et al., ICCV 2015, equation 10, with the leaky rectifier's gain.
    """
    convolutions = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    if isinstance(module, convolutions):
        nn.init.kaiming_normal_(module.weight, a=NEGATIVE_SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
