"""Original U-Net of 2015: unpadded convolutions and no normalisation.

Source: Ronneberger et al., MICCAI 2015, arXiv:1505.04597.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, MemoryReference, Topology
from autoseg.architectures.convolutions import ConvolutionRun, scaled_unet_references
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.valid_u_shape import ValidUShape
from autoseg.core.frozen import Fraction


@ARCHITECTURES.register
class UNet2015(StagedArchitecture):
    """Configuration of the original U-Net.

    Differences between the planned and the published network: the planner chooses strides, kernels
    and number of stages, of which at most the first five are used, and the output is cropped to the
    patch, which unpadded convolutions exceed by up to a few voxels.

    Attributes:
        dropout: Dropout rate in the lowest stage.
        is_trimmed: Whether the output is cropped to the patch, as training and prediction require.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]] = scaled_unet_references(
        two_axes=1.36, three_axes=1.21
    )

    first_features: ClassVar[dict[int, int]] = {2: 64, 3: 32}
    """As published in 2-D, half as many in 3-D."""
    is_capped: ClassVar[bool] = False
    max_stages: ClassVar[int | None] = 5
    """As published; each further stage would double the margin."""

    kind: Literal["unet_2015"] = "unet_2015"
    dropout: Fraction = 0.5
    is_trimmed: bool = True

    @classmethod
    def published(cls, *, in_channels: int = 1, num_classes: int = 2) -> "UNet2015":
        """Return the network of figure 1: 572 × 572 pixels in, 388 × 388 out."""
        topology = Topology(
            patch_shape=(384, 384), strides=((1, 1), *((2, 2),) * 4), kernels=((3, 3),) * 5
        )
        network = cls.for_topology(topology, in_channels=in_channels, num_classes=num_classes)
        return network.model_copy(update={"is_trimmed": False})

    @override
    def output_margin(self) -> tuple[int, ...]:
        return self._shape.margin

    @override
    def convolutions(self) -> Iterator[ConvolutionRun]:
        return self._shape.convolutions()

    @override
    def build(self) -> nn.Module:
        return self._shape.build(trimmed=self.is_trimmed)

    @property
    def _shape(self) -> ValidUShape:
        return ValidUShape(
            topology=self.topology,
            in_channels=self.in_channels,
            num_classes=self.num_classes,
            features=self.features,
            first_features=self.features,
            up_features=self.features[:-1],
            normalization="none",
            dropout=self.dropout,
        )
