"""Simulated low resolution: down by nearest neighbour, back up linearly.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class LowResolution(Augmentation):
    """All axes by the same factor; not across planes where the patch is anisotropic.

    Attributes:
        probability: Chance that a patch is changed.
        channel_probability: Chance of each of its channels, then.
        scale: Range of the intermediate size relative to the patch.
    """

    kind: Literal["low_resolution"] = "low_resolution"
    probability: Fraction = 0.25
    channel_probability: Fraction = 0.5
    scale: tuple[float, float] = (0.5, 1.0)

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        return SimulateLowResolutionTransform(
            scale=self.scale,
            synchronize_channels=False,
            synchronize_axes=True,
            ignore_axes=(0,) if context.in_plane_only else (),
            allowed_channels=None,
            p_per_channel=self.channel_probability,
        )
