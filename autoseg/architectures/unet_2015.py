"""The first U-Net: convolutions that do not pad, and no normalisation.

Source: Ronneberger et al., MICCAI 2015, arXiv:1505.04597.
"""

from collections.abc import Iterator
from typing import ClassVar, Literal

from torch import nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, MemoryReference, Topology
from autoseg.architectures.convolutions import ConvolutionRun, references_beside_unet
from autoseg.architectures.staged import StagedArchitecture
from autoseg.architectures.valid_u_shape import ValidUShape
from autoseg.core.frozen import Fraction


@ARCHITECTURES.register
class UNet2015(StagedArchitecture):
    """Configuration of the first U-Net.

    The planned form differs from the published one in its strides, kernels and number of stages,
    all the planner's, of which at most the first five are used; and in that it gives scores for the
    patch alone, where the valid convolutions reach up to a few voxels more.

    Attributes:
        dropout: Share of the lowest stage's values that training sets to 0.
        is_trimmed: Whether scores are cut to the patch; training and prediction expect it.
    """

    memory_references: ClassVar[dict[int, tuple[MemoryReference, ...]]] = references_beside_unet(
        two_axes=1.36, three_axes=1.21
    )

    first_features: ClassVar[dict[int, int]] = {2: 64, 3: 32}
    """In 2-D as published, in 3-D half of them."""
    is_capped: ClassVar[bool] = False
    most_stages: ClassVar[int | None] = 5
    """As published; every further stage would double the margin."""

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
