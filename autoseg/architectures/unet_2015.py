"""Original U-Net of 2015: unpadded convolutions and no normalisation.

Source: Ronneberger et al., MICCAI 2015, arXiv:1505.04597.
"""

from typing import ClassVar, Literal

from torch import nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, Topology
from autoseg.architectures.convolutions import scaled_unet_references
from autoseg.architectures.valid_u_shape import ValidUShape
from autoseg.core.frozen import Fraction


@ARCHITECTURES.register
class UNet2015(ValidUShape):
    """Configuration of the original U-Net.

    Differences between the planned and the published network: the planner chooses strides, kernels
    and number of stages, of which at most the first five are used, and the output is cropped to the
    patch, which unpadded convolutions exceed by up to a few voxels.

    Attributes:
        dropout: Dropout rate in the lowest stage.
        is_trimmed: Whether the output is cropped to the patch, as training and prediction require.
    """

    memory_references = scaled_unet_references(two_axes=1.36, three_axes=1.21)

    first_features: ClassVar[dict[int, int]] = {2: 64, 3: 32}
    """As published in 2-D, half as many in 3-D."""
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

    @property
    @override
    def inner_features(self) -> tuple[int, ...]:
        return self.features

    @property
    @override
    def up_features(self) -> tuple[int, ...]:
        return self.features[:-1]

    @override
    def build(self) -> nn.Module:
        return self.build_network("none", dropout=self.dropout, trimmed=self.is_trimmed)
