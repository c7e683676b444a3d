"""Plain U-Net: convolutional encoder and decoder with skip connections.

Source: Ronneberger et al., MICCAI 2015; the variant of Isensee et al., Nature Methods 18 (2021),
Methods, "Network architecture".
"""

from math import prod
from typing import ClassVar, Literal

from pydantic import PositiveInt, model_validator
from torch import nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, Architecture, MemoryReference, Topology
from autoseg.architectures.layers import ConvolutionStack
from autoseg.architectures.u_shape import (
    BASE_FEATURES,
    COMPACT_BASE_FEATURES,
    Decoder,
    UShapedNetwork,
    check_stages,
    doubling_features,
    stage_voxels,
)

CONVOLUTIONS_PER_STAGE = 2


@ARCHITECTURES.register
class UNet(Architecture):
    """Configuration of the plain U-Net.

    Attributes:
        features: Features per stage, finest first.
        encoder_convolutions: Convolutions per encoder stage, finest first; the first convolution
            of each stage downsamples.
        decoder_convolutions: Convolutions per decoder stage, finest first.
        deep_supervision: Whether coarser decoder stages also predict logits during training.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]] = {
        2: (MemoryReference(activations=85e6, batch_size=12, memory_gib=8.0),),
        3: (MemoryReference(activations=560e6, batch_size=2, memory_gib=8.0),),
    }
    """Source: nnU-Net 2.8.1, measured by its authors on an 11 GiB GPU."""

    kind: Literal["unet"] = "unet"
    features: tuple[PositiveInt, ...]
    encoder_convolutions: tuple[PositiveInt, ...]
    decoder_convolutions: tuple[PositiveInt, ...]
    deep_supervision: bool = True

    @model_validator(mode="after")
    def _check(self) -> "UNet":
        check_stages(
            self.topology,
            encoder={
                "features": self.features,
                "encoder_convolutions": self.encoder_convolutions,
            },
            decoder={"decoder_convolutions": self.decoder_convolutions},
        )
        return self

    @classmethod
    @override
    def for_topology(cls, topology: Topology, *, in_channels: int, num_classes: int) -> "UNet":
        stages = len(topology.strides)
        return cls(
            topology=topology,
            in_channels=in_channels,
            num_classes=num_classes,
            features=doubling_features(BASE_FEATURES, topology),
            encoder_convolutions=(CONVOLUTIONS_PER_STAGE,) * stages,
            decoder_convolutions=(CONVOLUTIONS_PER_STAGE,) * (stages - 1),
        )

    @override
    def compact(self) -> "UNet":
        narrow = doubling_features(COMPACT_BASE_FEATURES, self.topology)
        return self.model_copy(update={"features": narrow})

    @override
    def activation_count(self) -> int:
        """Return the number of output values of all convolutions for the planned patch.

        Transposed convolutions are included; of the heads, only the one at full resolution.

        Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 2.
        """
        stages = zip(
            self.encoder_convolutions, self.features, stage_voxels(self.topology), strict=True
        )
        return self._decoder.activation_count() + sum(
            convolutions * width * size for convolutions, width, size in stages
        )

    @override
    def multiplication_count(self) -> int:
        count = self._decoder.multiplication_count()
        below = self.in_channels
        for stage, size in enumerate(stage_voxels(self.topology)):
            width = self.features[stage]
            inputs = below + (self.encoder_convolutions[stage] - 1) * width
            count += inputs * width * size * prod(self.topology.kernels[stage])
            below = width
        return count

    @override
    def build(self) -> nn.Module:
        decoder = self._decoder
        inputs = (self.in_channels, *self.features)
        encoder = nn.ModuleList(
            ConvolutionStack(
                (inputs[stage], self.features[stage]),
                count=self.encoder_convolutions[stage],
                kernel=self.topology.kernels[stage],
                stride=self.topology.strides[stage],
            )
            for stage in range(len(self.features))
        )
        return UShapedNetwork(encoder, decoder.stages(), decoder.heads())

    @property
    def _decoder(self) -> Decoder:
        return Decoder(
            topology=self.topology,
            num_classes=self.num_classes,
            features=self.features,
            convolutions=self.decoder_convolutions,
            deep_supervision=self.deep_supervision,
        )
