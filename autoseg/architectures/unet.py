"""Plain U-Net: convolutional encoder and decoder with skip connections.

Source: Ronneberger et al., MICCAI 2015; the variant of Isensee et al., Nature Methods 18 (2021),
Methods, "Network architecture".
"""

from collections.abc import Iterator
from typing import Literal

from torch import nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, Topology
from autoseg.architectures.convolutions import UNET_REFERENCES, ConvolutionRun
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.u_shape import UShapedNetwork
from autoseg.core.limits import LayerCount

CONVOLUTIONS_PER_STAGE = 2


@ARCHITECTURES.register
class UNet(StagedArchitecture):
    """Configuration of the plain U-Net.

    Attributes:
        features: Features per stage, finest first.
        encoder_convolutions: Convolutions per encoder stage, finest first; the first convolution
            of each stage downsamples.
        decoder_convolutions: Convolutions per decoder stage, finest first.
        deep_supervision: Whether coarser decoder stages also predict logits during training.
    """

    memory_references = UNET_REFERENCES
    encoder_settings = ("features", "encoder_convolutions")
    decoder_settings = ("decoder_convolutions",)

    kind: Literal["unet"] = "unet"
    encoder_convolutions: tuple[LayerCount, ...]
    decoder_convolutions: tuple[LayerCount, ...]
    deep_supervision: bool = True

    @classmethod
    @override
    def stage_settings(cls, topology: Topology) -> dict[str, tuple[int, ...]]:
        counts = (CONVOLUTIONS_PER_STAGE,) * len(topology.strides)
        return {
            **super().stage_settings(topology),
            "encoder_convolutions": counts,
            "decoder_convolutions": counts[1:],
        }

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        """Yield all convolutions of one forward pass; of the heads, only the finest counts.

        Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 2.
        """
        yield from self.encoder_runs(self.encoder_convolutions)
        yield from self.decoder_runs(self.decoder_convolutions)

    @override
    def build(self) -> nn.Module:
        return UShapedNetwork(
            nn.ModuleList(self.encoder_stages(self.encoder_convolutions)),
            self.decoder_stages(self.decoder_convolutions),
            self.segmentation_heads(deep_supervision=self.deep_supervision),
        )
