"""Attention U-Net: a U-Net with attention gates on the skip connections.

Source: Oktay et al., MIDL 2018, arXiv:1804.03999; details missing in the paper follow the authors'
implementation.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, NetworkOutput, Topology
from autoseg.architectures.convolutions import (
    ConvolutionRun,
    Normalization,
    RectifiedConvolutions,
    max_pooling,
    normalizing_layers,
    scaled_unet_references,
    stack_runs,
)
from autoseg.architectures.layers import Stride, convolution, initialise
from autoseg.architectures.segmentation_head import segmentation_head
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.u_shape import stage_voxels

PUBLISHED_FEATURES = (16, 32, 64, 128, 256)


@ARCHITECTURES.register
class AttentionUNet(StagedArchitecture):
    """Configuration of the Attention U-Net.

    Each decoder stage predicts logits, which are upsampled to full resolution and fused by one more
    convolution. The loss is computed for the fused logits only. All skip connections except the one
    at full resolution have a gate.

    Differences between the planned and the published network: the planner chooses strides, kernels,
    widths and number of stages, and normalisation is per sample.

    Attributes:
        normalization: Normalisation after each convolution; "batch" as published.
        is_gated: Whether to use gates; without gates, it is the U-Net baseline of the paper.
    """

    memory_references = scaled_unet_references(two_axes=2.7, three_axes=2.73)

    kind: Literal["attention_unet"] = "attention_unet"
    normalization: Normalization = "instance"
    is_gated: bool = True

    @classmethod
    def published(
        cls, *, in_channels: int = 1, num_classes: int = 4, is_gated: bool = True
    ) -> "AttentionUNet":
        """Return the network of the paper's tables: five stages in 3-D, 16 to 256 features.

        Args:
            in_channels: Image channels.
            num_classes: Classes, background included.
            is_gated: Whether to use gates.
        """
        topology = Topology(
            patch_shape=(96, 160, 160),
            strides=((1, 1, 1), *((2, 2, 2),) * 4),
            kernels=((3, 3, 3),) * 5,
        )
        return cls(
            topology=topology,
            in_channels=in_channels,
            num_classes=num_classes,
            features=PUBLISHED_FEATURES,
            normalization="batch",
            is_gated=is_gated,
        )

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        voxels, kernels = stage_voxels(self.topology), self.topology.kernels
        features = self.features
        yield from self.encoder_runs((2,) * len(features))
        if self.gated_stages:
            yield ConvolutionRun(features[-1], features[-1], voxels[-1])
        for stage in self.gated_stages:
            yield from _gate_runs(features, stage, voxels)
        for stage, (width, below) in enumerate(pairwise(features)):
            yield from stack_runs((width + below, width, width), voxels[stage], kernels[stage])
        maps = max(1, len(features) - 1)
        for stage in range(maps):
            yield ConvolutionRun(features[stage], self.num_classes, voxels[stage])
        yield ConvolutionRun(maps * self.num_classes, self.num_classes, voxels[0])

    @override
    def build(self) -> nn.Module:
        topology, features = self.topology, self.features
        encoder = nn.ModuleList(
            nn.Sequential(*max_pooling(topology.strides[stage]), self._stack(stage, inputs))
            for stage, inputs in enumerate((self.in_channels, *features[:-1]))
        )
        decoder = nn.ModuleList(
            self._stack(stage, width + below)
            for stage, (width, below) in enumerate(pairwise(features))
        )
        make = segmentation_head(topology.num_axes)
        scores = nn.ModuleList(
            make(width, self.num_classes) for width in features[: len(decoder) or 1]
        )
        head = make(len(scores) * self.num_classes, self.num_classes)
        network = AttentionNetwork(encoder, decoder, self._gates(), scores, head)
        network.apply(initialise)
        return network

    def _stack(self, stage: int, inputs: int) -> RectifiedConvolutions:
        return RectifiedConvolutions(
            (inputs, self.features[stage], self.features[stage]),
            kernel=self.topology.kernels[stage],
            normalization=self.normalization,
        )

    def _gates(self) -> "SkipGates | None":
        if not self.gated_stages:
            return None
        lowest, one = self.features[-1], (1,) * self.topology.num_axes
        signal = RectifiedConvolutions(
            (lowest, lowest), kernel=one, normalization=self.normalization
        )
        gates = {
            str(stage): AttentionGate(
                (self.features[stage], self.features[stage + 1]),
                stride=self.topology.strides[stage + 1],
                normalization=self.normalization,
            )
            for stage in self.gated_stages
        }
        return SkipGates(signal, nn.ModuleDict(gates))

    @property
    def gated_stages(self) -> tuple[int, ...]:
        """The stages whose skip connections have a gate."""
        return tuple(range(1, len(self.features) - 1)) if self.is_gated else ()


def _gate_runs(
    features: tuple[int, ...], stage: int, voxels: list[int]
) -> Iterator[ConvolutionRun]:
    """Yield the convolutions of one gate."""
    width, below = features[stage], features[stage + 1]
    stride_voxels = voxels[stage] // voxels[stage + 1]
    yield ConvolutionRun(width, width, voxels[stage + 1], (stride_voxels,))
    yield ConvolutionRun(below, width, voxels[stage + 1])
    yield ConvolutionRun(width, 1, voxels[stage + 1])
    yield ConvolutionRun(width, width, voxels[stage])


class AttentionGate(nn.Module):
    """Attention gate: multiplies a skip connection by coefficients between 0 and 1.

    The skip connection is downsampled to the resolution of the stage below, added to the gating
    signal of that stage, and rectified. A convolution and a sigmoid turn the sum into one
    coefficient per voxel.

    Args:
        features: Channels of the skip connection and of the stage below.
        stride: Stride between the two.
        normalization: Normalisation after the output convolution.

    Source: Oktay et al., equations 1 and 2, figure 2.
    """

    def __init__(
        self, features: tuple[int, int], *, stride: Stride, normalization: Normalization
    ) -> None:
        super().__init__()
        width, below = features
        make = convolution(len(stride))
        self.skip = make(width, width, stride, stride=stride, bias=False)
        self.signal = make(below, width, 1)
        self.coefficient = make(width, 1, 1)
        self.output = nn.Sequential(
            make(width, width, 1), *normalizing_layers(normalization, width, num_axes=len(stride))
        )

    def coefficients(self, skip: Tensor, signal: Tensor) -> Tensor:
        """Compute the attention coefficients at the resolution of the skip connection."""
        combined = F.relu(self.skip(skip) + self.signal(signal))
        return resize_like(torch.sigmoid(self.coefficient(combined)), skip)

    @override
    def forward(self, skip: Tensor, signal: Tensor) -> Tensor:
        gated: Tensor = self.output(self.coefficients(skip, signal) * skip)
        return gated


class SkipGates(nn.Module):
    """Attention gates of all gated stages.

    Args:
        signal: Module that converts the feature maps of the lowest stage to the gating signal of
            the stage above. The other gates use the feature maps of the decoder directly.
        gates: One gate per gated stage, by stage index.
    """

    def __init__(self, signal: nn.Module, gates: nn.ModuleDict) -> None:
        super().__init__()
        self.signal = signal
        self.gates = gates

    @override
    def forward(self, stage: int, skip: Tensor, below: Tensor) -> Tensor:
        if str(stage) not in self.gates:
            return skip
        is_lowest = stage == max(map(int, self.gates))
        gated: Tensor = self.gates[str(stage)](skip, self.signal(below) if is_lowest else below)
        return gated


class AttentionNetwork(nn.Module):
    """Encoder, decoder with gated skip connections, and a head that fuses all decoder stages.

    Args:
        encoder: One module per stage, finest first.
        decoder: One module per stage except the lowest, finest first.
        gates: Gates of the skip connections; None disables gating.
        scores: Segmentation head of each decoder stage.
        head: Convolution that fuses the logits of all decoder stages.
    """

    def __init__(
        self,
        encoder: nn.ModuleList,
        decoder: nn.ModuleList,
        gates: SkipGates | None,
        scores: nn.ModuleList,
        head: nn.Module,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.gates = gates
        self.scores = scores
        self.heads = nn.ModuleList([head])

    @override
    def forward(self, images: Tensor) -> NetworkOutput:
        maps, skips = images, []
        for stage in self.encoder:
            maps = stage(maps)
            skips.append(maps)
        decoded = [maps]
        for index in reversed(range(len(self.decoder))):
            below = decoded[-1]
            skip = skips[index] if self.gates is None else self.gates(index, skips[index], below)
            joined = torch.cat((skip, resize_like(below, skip)), dim=1)
            decoded.append(self.decoder[index](joined))
        finest_first = zip(self.scores, reversed(decoded), strict=False)
        logits = [resize_like(head(maps), images) for head, maps in finest_first]
        return NetworkOutput(self.heads[0](torch.cat(logits, dim=1)))


def resize_like(maps: Tensor, target: Tensor) -> Tensor:
    """Interpolate feature maps linearly to the spatial size of `target`."""
    if maps.shape[2:] == target.shape[2:]:
        return maps
    mode = "bilinear" if maps.ndim == 4 else "trilinear"
    return F.interpolate(maps, size=target.shape[2:], mode=mode, align_corners=False)
