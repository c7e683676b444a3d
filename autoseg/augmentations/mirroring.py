"""Random mirroring.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

import numpy as np
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    PatchContext,
    Patches,
    RandomGenerators,
)
from autoseg.core.device import to_device


@AUGMENTATIONS.register
class Mirroring(Augmentation):
    """Mirrors each axis with probability 0.5.

    Attributes:
        axes: Patch axes that may be mirrored; None means all. TTA mirrors the same axes.
    """

    kind: Literal["mirroring"] = "mirroring"
    axes: tuple[int, ...] | None = None

    def allowed_axes(self, num_axes: int) -> tuple[int, ...]:
        """Return the axes along which a patch with `num_axes` axes may be mirrored."""
        return tuple(range(num_axes)) if self.axes is None else self.axes

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        images, layers = patches.images, patches.layers
        axes = self.allowed_axes(len(context.patch_shape))
        is_flipped = generators.per_patch.random((len(axes), len(images))) < 0.5
        for axis, flips in zip(axes, is_flipped, strict=True):
            indices = to_device(np.flatnonzero(flips), images.device)
            images[indices] = images[indices].flip(axis + 2)
            layers[indices] = layers[indices].flip(axis + 2)
        return patches
