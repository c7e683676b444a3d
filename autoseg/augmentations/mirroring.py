"""Random mirroring.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from typing import Literal

import numpy as np
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    Draws,
    PatchContext,
    Patches,
)
from autoseg.core.device import to_device


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
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        images, layers = patches.images, patches.layers
        axes = self.allowed_axes(len(context.patch_shape))
        is_flipped = draws.numbers.random((len(axes), len(images))) < 0.5
        for axis, flips in zip(axes, is_flipped, strict=True):
            which = to_device(np.flatnonzero(flips), images.device)
            images[which] = images[which].flip(axis + 2)
            layers[which] = layers[which].flip(axis + 2)
        return patches
