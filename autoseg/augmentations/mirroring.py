"""Random mirroring.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext


@AUGMENTATIONS.register
class Mirroring(Augmentation):
    """Each axis is mirrored half of the time.

    Attributes:
        axes: Patch axes that may be mirrored; none means all. Prediction averages over the same.
    """

    kind: Literal["mirroring"] = "mirroring"
    axes: tuple[int, ...] | None = None

    def allowed_axes(self, num_axes: int) -> tuple[int, ...]:
        """Return the axes that a patch with `num_axes` axes is mirrored along."""
        return tuple(range(num_axes)) if self.axes is None else self.axes

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        return MirrorTransform(allowed_axes=self.allowed_axes(len(context.patch_shape)))
