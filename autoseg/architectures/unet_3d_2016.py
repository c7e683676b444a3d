"""3D U-Net of 2016: unpadded convolutions, and channels that double before each pooling.

Source: Çiçek et al., MICCAI 2016, arXiv:1606.06650.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import nn
from typing_extensions import override

from autoseg.architectures.base import ARCHITECTURES, Topology
from autoseg.architectures.convolutions import Normalization, scaled_unet_references
from autoseg.architectures.valid_u_shape import ValidUShape

EvenInt = Annotated[int, Field(gt=0, multiple_of=2)]


@ARCHITECTURES.register
class UNet3D2016(ValidUShape):
    """Configuration of the 3D U-Net; a 2-D patch gives its two-dimensional equivalent.

    Differences between the planned and the published network: the planner chooses strides, kernels
    and number of stages, of which at most the first four are used, normalisation is per sample, and
    the output is cropped to the patch.

    Attributes:
        features: Output features of each stage's second convolution, finest first.
        normalization: Normalisation after each convolution; "batch" as published.
        is_trimmed: Whether the output is cropped to the patch, as training and prediction require.
    """

    memory_references = scaled_unet_references(two_axes=2.0, three_axes=2.07)

    first_features: ClassVar[dict[int, int]] = {2: 64, 3: 64}
    """Output features of the first stage; its first convolution has half as many."""
    compact_first_features: ClassVar[int] = 32
    max_stages: ClassVar[int | None] = 4
    """As published; each further stage would double the margin."""

    kind: Literal["unet_3d_2016"] = "unet_3d_2016"
    features: tuple[EvenInt, ...]
    normalization: Normalization = "instance"
    is_trimmed: bool = True

    @classmethod
    def published(cls, *, in_channels: int = 3, num_classes: int = 3) -> "UNet3D2016":
        """Return the network of figure 2: 116 × 132 × 132 voxels in, 28 × 44 × 44 out."""
        topology = Topology(
            patch_shape=(24, 40, 40),
            strides=((1, 1, 1), *((2, 2, 2),) * 3),
            kernels=((3, 3, 3),) * 4,
        )
        network = cls.for_topology(topology, in_channels=in_channels, num_classes=num_classes)
        return network.model_copy(update={"normalization": "batch", "is_trimmed": False})

    @property
    @override
    def inner_features(self) -> tuple[int, ...]:
        return tuple(width // 2 for width in self.features)

    @property
    @override
    def up_features(self) -> tuple[int, ...]:
        return self.features[1:]

    @override
    def build(self) -> nn.Module:
        return self.build_network(self.normalization, dropout=0.0, trimmed=self.is_trimmed)
