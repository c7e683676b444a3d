"""A U-Net whose encoder is any convolutional network of timm; in 2-D.

Source: the idea of a pretrained encoder is that of Iglovikov and Shvets, arXiv:1801.05746.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import ceil, prod
from pathlib import Path
from typing import ClassVar, Literal

import torch
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
from autoseg.architectures.convolutions import UNET_KEPT_VALUES, ConvolutionRun, stack_runs
from autoseg.architectures.layers import ConvolutionStack, initialise, transposed_convolution
from autoseg.architectures.timm_encoders import (
    EncoderSize,
    encoder_size,
    make_encoder,
    pretrained_weights,
)
from autoseg.architectures.u_shape import (
    BASE_FEATURES,
    COMPACT_BASE_FEATURES,
    check_stages,
    doubling_features,
    stage_voxels,
    supervised_heads,
)
from autoseg.architectures.unet import UNet
from autoseg.core.errors import PlanError

ENCODER = "resnet34"
COMPACT_ENCODER = "resnet18"

MOST_STAGES = 6
"""The coarsest maps of most encoders have 32 times fewer pixels per axis than the image."""

CONVOLUTIONS_PER_STAGE = 2

KERNEL = (3, 3)
STRIDE = (2, 2)


@ARCHITECTURES.register
class EncoderUNet(Architecture):
    """Configuration of a U-Net with an encoder of timm, in 2-D.

    The decoder is the plain U-Net's. Resolutions above the encoder's finest maps (the full one of
    most networks) have stages of the plain U-Net. The encoder halves both axes at every stage, so
    the patch does too, as often as the plan halves both, and at least once.

    Attributes:
        encoder: As timm calls it.
        pretrained: Whether training starts from weights that timm names, from its cache or online;
            or a file of such weights.
        features: Of the decoder, per stage but the lowest, from the full resolution down.
        deep_supervision: Whether coarser decoder stages give scores too, in training.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]] = {
        2: UNet.memory_references[2]
    }

    kind: Literal["encoder_unet"] = "encoder_unet"
    encoder: str = ENCODER
    pretrained: bool | str = False
    features: tuple[PositiveInt, ...]
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _check(self) -> "EncoderUNet":
        strides = self.topology.strides
        if self.topology.num_axes != 2 or len(strides) < 2 or set(strides[1:]) != {STRIDE}:
            msg = (
                "the encoder halves both axes of pictures and slices at every stage; found the "
                f"strides {[list(stride) for stride in strides]}. Take a 2-D configuration with "
                "strides [1, 1], [2, 2], [2, 2] …, or another network."
            )
            raise ValueError(msg)
        check_stages(self.topology, encoder={}, decoder={"features": self.features})
        return self

    @classmethod
    @override
    def for_topology(
        cls, topology: Topology, *, in_channels: int, num_classes: int
    ) -> "EncoderUNet":
        used = halved_alike(topology)
        return cls(
            topology=used,
            in_channels=in_channels,
            num_classes=num_classes,
            features=doubling_features(BASE_FEATURES, used)[:-1],
        )

    @override
    def compact(self) -> "EncoderUNet":
        narrow = doubling_features(COMPACT_BASE_FEATURES, self.topology)[:-1]
        return self.model_copy(update={"encoder": COMPACT_ENCODER, "features": narrow})

    @override
    def activation_count(self) -> int:
        """Return the outputs of the plain U-Net's convolutions that as many values are kept for.

        Encoders differ too much for their outputs to say it: those with dense connections or
        smooth rectifiers keep several times more.

        Raises:
            MissingPackage: If timm is not installed.
        """
        kept = self._size.kept_values * prod(self.topology.patch_shape)
        return round(kept / UNET_KEPT_VALUES) + sum(run.activations for run in self._own_runs())

    @override
    def multiplication_count(self) -> int:
        encoder = self._size.multiplications * prod(self.topology.patch_shape)
        return round(encoder) + sum(run.multiplications for run in self._own_runs())

    def _own_runs(self) -> Iterator[ConvolutionRun]:
        """Yield all convolutions that are not the encoder's."""
        voxels, skips = stage_voxels(self.topology), self._skip_features
        for stage in range(self._own_stages):
            inputs, width = (self.in_channels, *skips)[stage : stage + 2]
            yield from stack_runs((inputs, width, width), voxels[stage], KERNEL)
        for stage, (width, below) in enumerate(pairwise((*self.features, skips[-1]))):
            yield ConvolutionRun(below, width, voxels[stage])
            yield from stack_runs((width + skips[stage], width, width), voxels[stage], KERNEL)
        yield ConvolutionRun(self.features[0], self.num_classes, voxels[0])

    @override
    def build(self) -> nn.Module:
        """Return the module; its weights are random, see `load_start`.

        Raises:
            MissingPackage: If timm is not installed.
            UnknownComponent: If timm has no such encoder.
        """
        skips = self._skip_features
        inputs = (self.in_channels, *skips)
        finest = nn.ModuleList(
            ConvolutionStack(
                (inputs[stage], skips[stage]),
                count=CONVOLUTIONS_PER_STAGE,
                kernel=KERNEL,
                stride=self.topology.strides[stage],
            )
            for stage in range(self._own_stages)
        )
        decoder = nn.ModuleList(
            JoiningStage((below, skips[stage], width))
            for stage, (width, below) in enumerate(pairwise((*self.features, skips[-1])))
        )
        heads = supervised_heads(
            self.topology,
            (*self.features, skips[-1]),
            self.num_classes,
            deep_supervision=self.deep_supervision,
        )
        encoder = make_encoder(self.encoder, self.in_channels, self._coarsest)
        return EncoderNetwork(encoder, finest, decoder, heads)

    @override
    def load_start(self, network: nn.Module) -> None:
        """Give a new network the encoder's pretrained weights, if there are to be any.

        Raises:
            ModelError: If they cannot be had.
        """
        if self.pretrained is False:
            return
        source = Path(self.pretrained) if isinstance(self.pretrained, str) else None
        weights = pretrained_weights(self.encoder, self.in_channels, self._coarsest, source)
        encoder = network.get_submodule("encoder")
        encoder.load_state_dict(weights)

    @property
    def _coarsest(self) -> int:
        """How many times fewer pixels per axis the lowest stage has."""
        return self.topology.divisors[0]

    @property
    def _size(self) -> EncoderSize:
        return encoder_size(self.encoder, self.in_channels, self._coarsest)

    @property
    def _own_stages(self) -> int:
        """How many stages are finer than all maps of the encoder."""
        return self._size.strides[0].bit_length() - 1

    @property
    def _skip_features(self) -> tuple[int, ...]:
        """Channels that each stage of the way down gives; those of own stages as the decoder's."""
        return (*self.features[: self._own_stages], *self._size.channels)


def halved_alike(topology: Topology) -> Topology:
    """Return the 2-D topology that halves both axes as often as the given one does either.

    At least once: a patch that is too small for it is enlarged.

    Raises:
        PlanError: If there are three axes.
    """
    if topology.num_axes != 2:
        msg = (
            "encoder_unet works on pictures and slices; found a patch of "
            f"{' × '.join(map(str, topology.patch_shape))} voxels. Take a 2-D configuration, or "
            "another network."
        )
        raise PlanError(msg)
    halvings = min(divisor.bit_length() - 1 for divisor in topology.divisors)
    count = min(max(halvings, 1), MOST_STAGES - 1)
    factor = 2**count
    return Topology(
        patch_shape=tuple(ceil(edge / factor) * factor for edge in topology.patch_shape),
        strides=((1, 1), *(STRIDE,) * count),
        kernels=(KERNEL,) * (count + 1),
    )


class JoiningStage(nn.Module):
    """Bring the maps from below up, join the skip connection of any width, and convolve.

    Args:
        features: Channels of the stage below, of the skip connection, and out.
    """

    def __init__(self, features: tuple[int, int, int]) -> None:
        super().__init__()
        below, skip, width = features
        self.up = transposed_convolution(2)(below, width, STRIDE, stride=STRIDE)
        self.convolutions = ConvolutionStack(
            (width + skip, width), count=CONVOLUTIONS_PER_STAGE, kernel=KERNEL, stride=(1, 1)
        )

    @override
    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        joined: Tensor = self.convolutions(torch.cat((self.up(below), skip), dim=1))
        return joined


class EncoderNetwork(nn.Module):
    """An encoder that gives the list of its maps, and a decoder.

    Args:
        encoder: Of timm; its weights stay as they are.
        finest: The stages above the encoder's finest maps, from the full resolution down.
        decoder: One module per stage but the lowest, from the full resolution down.
        heads: One module per stage that gives scores.
    """

    def __init__(
        self,
        encoder: nn.Module,
        finest: nn.ModuleList,
        decoder: nn.ModuleList,
        heads: nn.ModuleList,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.finest = finest
        self.decoder = decoder
        self.heads = heads
        for part in (finest, decoder, heads):
            part.apply(initialise)

    @override
    def forward(self, images: Tensor) -> NetworkOutput:
        maps, skips = images, []
        for stage in self.finest:
            maps = stage(maps)
            skips.append(maps)
        skips += self.encoder(images)
        decoded = [skips.pop()]
        for stage in reversed(self.decoder):
            decoded.append(stage(decoded[-1], skips.pop()))
        supervised = self.heads if self.training else self.heads[:1]
        finest_first = zip(supervised, reversed(decoded), strict=False)
        logits, *auxiliary = [head(maps) for head, maps in finest_first]
        return NetworkOutput(logits, tuple(auxiliary))
