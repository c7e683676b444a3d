"""2-D U-Net with a convolutional network for classification as encoder.

Source: pretrained encoders were proposed by Iglovikov and Shvets, arXiv:1801.05746.
"""

from collections.abc import Iterator
from itertools import pairwise
from math import ceil, prod
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn
from typing_extensions import override

from autoseg.architectures.base import (
    ARCHITECTURES,
    Architecture,
    MemoryReference,
    NetworkOutput,
    Topology,
)
from autoseg.architectures.convolutions import (
    UNET_KEPT_VALUES,
    UNET_REFERENCES,
    ConvolutionRun,
    stack_runs,
)
from autoseg.architectures.encoder_size import EncoderSize, encoder_size, make_encoder
from autoseg.architectures.layers import ConvolutionStack, initialise, transposed_convolution
from autoseg.architectures.timm_encoders import pretrained_weights
from autoseg.architectures.u_shape import (
    BASE_FEATURES,
    COMPACT_BASE_FEATURES,
    MAX_FEATURES,
    check_stages,
    decode,
    doubling_features,
    stage_voxels,
    supervised_heads,
)
from autoseg.core.errors import PlanError
from autoseg.core.formatting import format_shape
from autoseg.core.limits import Width

ENCODER = "resnet34"
COMPACT_ENCODER = "resnet18"

MAX_STAGES = 6
"""Largest number of stages: the coarsest feature maps of most encoders have stride 32."""

CONVOLUTIONS_PER_STAGE = 2

KERNEL = (3, 3)
STRIDE = (2, 2)


@ARCHITECTURES.register
class EncoderUNet(Architecture):
    """Configuration of a 2-D U-Net with an encoder by name.

    The decoder is that of the plain U-Net. Resolutions finer than the finest feature maps of the
    encoder (full resolution for most encoders) or coarser than its coarsest ones use stages of the
    plain U-Net. The encoder halves both axes at every stage, so the topology halves both axes
    together: as often as the plan halves both, and at least once.

    Attributes:
        encoder: Name of a backbone in `encoders`, or else of a timm model.
        pretrained: Whether to start training from the pretrained weights of timm, from its cache
            or online; or the path of a file of weights.
        features: Features of each decoder stage, finest first.
        deep_supervision: Whether coarser decoder stages also predict logits during training.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]] = {2: UNET_REFERENCES[2]}

    kind: Literal["encoder_unet"] = "encoder_unet"
    encoder: str = ENCODER
    pretrained: bool | str = False
    features: tuple[Width, ...]
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _check(self) -> "EncoderUNet":
        strides = self.topology.strides
        if self.topology.num_axes != 2 or len(strides) < 2 or set(strides[1:]) != {STRIDE}:
            msg = (
                "encoder_unet needs a 2-D topology that halves both axes at every stage; found the "
                f"strides {[list(stride) for stride in strides]}. Use a 2-D configuration with "
                "strides [1, 1], [2, 2], [2, 2] …, or another architecture."
            )
            raise ValueError(msg)
        check_stages(self, encoder=(), decoder=("features",))
        return self

    @classmethod
    @override
    def for_topology(
        cls, topology: Topology, *, in_channels: int, num_classes: int
    ) -> "EncoderUNet":
        used = isotropic_topology(topology)
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
        """Return the activation count of a plain U-Net that stores as many values.

        The outputs of the encoder's convolutions would not predict memory: encoders with dense
        connections or smooth activation functions store several times more values.

        Raises:
            MissingPackage: If the encoder needs timm, which is not installed.
        """
        kept = self._size.kept_values * prod(self.topology.patch_shape)
        return round(kept / UNET_KEPT_VALUES) + sum(
            run.activations for run in self._non_encoder_runs()
        )

    @override
    def multiplication_count(self) -> int:
        encoder = self._size.multiplications * prod(self.topology.patch_shape)
        others = sum(run.multiplications for run in self._non_encoder_runs())
        return round(encoder) + self._size.pooled_multiplications + others

    def _non_encoder_runs(self) -> Iterator[ConvolutionRun]:
        """Yield all convolutions outside the encoder."""
        voxels, skips = stage_voxels(self.topology), self._skip_features
        for stage in (*self._finest_stages, *self._coarsest_stages):
            inputs, width = (self.in_channels, *skips)[stage : stage + 2]
            yield from stack_runs((inputs, width, width), voxels[stage], KERNEL)
        for stage, (width, below) in enumerate(pairwise((*self.features, skips[-1]))):
            yield ConvolutionRun(below, width, voxels[stage])
            yield from stack_runs((width + skips[stage], width, width), voxels[stage], KERNEL)
        yield ConvolutionRun(self.features[0], self.num_classes, voxels[0])

    @override
    def build(self) -> nn.Module:
        """Build the network with random weights; see `load_pretrained`.

        Raises:
            MissingPackage: If the encoder needs timm, which is not installed.
            UnknownComponent: If there is no such encoder.
        """
        skips = self._skip_features
        inputs = (self.in_channels, *skips)
        finest, coarsest = (
            nn.ModuleList(
                ConvolutionStack(
                    (inputs[stage], skips[stage]),
                    count=CONVOLUTIONS_PER_STAGE,
                    kernel=KERNEL,
                    stride=self.topology.strides[stage],
                )
                for stage in stages
            )
            for stages in (self._finest_stages, self._coarsest_stages)
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
        encoder = make_encoder(self.encoder, self.in_channels, self._coarsest_stride)
        return EncoderNetwork(encoder, finest, coarsest, decoder, heads)

    @override
    def load_pretrained(self, network: nn.Module) -> None:
        """Load the pretrained weights of the encoder, if `pretrained` is set.

        Raises:
            MissingPackage: If timm is not installed.
            ModelError: If the weights cannot be loaded.
        """
        if self.pretrained is False:
            return
        source = Path(self.pretrained) if isinstance(self.pretrained, str) else None
        weights = pretrained_weights(self.encoder, self.in_channels, self._coarsest_stride, source)
        encoder = network.get_submodule("encoder")
        # timm does not remove unused layers from some models
        encoder.load_state_dict({name: weights[name] for name in encoder.state_dict()})

    @property
    def _coarsest_stride(self) -> int:
        """Stride of the lowest stage relative to the image."""
        return self.topology.divisors[0]

    @property
    def _size(self) -> EncoderSize:
        return encoder_size(self.encoder, self.in_channels, self._coarsest_stride)

    @property
    def _finest_stages(self) -> range:
        """Stages that are finer than all feature maps of the encoder."""
        return range(self._size.strides[0].bit_length() - 1)

    @property
    def _coarsest_stages(self) -> range:
        """Stages that are coarser than all feature maps of the encoder."""
        return range(self._size.strides[-1].bit_length(), len(self.topology.strides))

    @property
    def _skip_features(self) -> tuple[int, ...]:
        """Channels of each stage; stages outside the encoder use the plain U-Net's widths."""
        lowest = min(2 * self.features[-1], MAX_FEATURES[2])
        plain = (*self.features, lowest)
        finest, coarsest = self._finest_stages, self._coarsest_stages
        return (
            *(plain[stage] for stage in finest),
            *self._size.channels,
            *(plain[stage] for stage in coarsest),
        )


def isotropic_topology(topology: Topology) -> Topology:
    """Convert a 2-D topology to one that halves both axes at every stage.

    Both axes are halved as often as the less often halved axis of the given topology, at least
    once. The patch is enlarged to a multiple of the resulting stride.

    Raises:
        PlanError: If the topology has three axes.
    """
    if topology.num_axes != 2:
        msg = (
            "encoder_unet supports only 2-D patches; found a patch of "
            f"{format_shape(topology.patch_shape)} voxels. Use a 2-D configuration or "
            "another architecture."
        )
        raise PlanError(msg)
    halvings = min(divisor.bit_length() - 1 for divisor in topology.divisors)
    count = min(max(halvings, 1), MAX_STAGES - 1)
    factor = 2**count
    return Topology(
        patch_shape=tuple(ceil(edge / factor) * factor for edge in topology.patch_shape),
        strides=((1, 1), *(STRIDE,) * count),
        kernels=(KERNEL,) * (count + 1),
    )


class JoiningStage(nn.Module):
    """Decoder stage with a skip connection of any width.

    Args:
        features: Channels of the stage below, of the skip connection, and of the output.
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
    """U-Net whose encoder returns the list of its feature maps.

    Args:
        encoder: Returns its feature maps; its weights are not reinitialised.
        finest: Stages finer than the feature maps of the encoder, finest first.
        coarsest: Stages coarser than the feature maps of the encoder, finest first.
        decoder: One module per stage except the lowest, finest first.
        heads: Segmentation heads of the supervised stages, finest first.
    """

    def __init__(
        self,
        encoder: nn.Module,
        finest: nn.ModuleList,
        coarsest: nn.ModuleList,
        decoder: nn.ModuleList,
        heads: nn.ModuleList,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.finest = finest
        self.coarsest = coarsest
        self.decoder = decoder
        self.heads = heads
        for modules in (finest, coarsest, decoder, heads):
            modules.apply(initialise)

    @property
    def stems(self) -> list[nn.Module]:
        """Convolutions that receive the image."""
        return [
            next(module for module in part.modules() if isinstance(module, nn.Conv2d))
            for part in (self.encoder, *self.finest[:1])
        ]

    @override
    def forward(self, images: Tensor) -> NetworkOutput:
        maps, skips = images, []
        for stage in self.finest:
            maps = stage(maps)
            skips.append(maps)
        skips += self.encoder(images)
        for stage in self.coarsest:
            skips.append(stage(skips[-1]))
        return decode(skips, self.decoder, self.heads if self.training else self.heads[:1])
