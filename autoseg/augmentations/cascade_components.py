"""Random removal of connected components from the cascade input.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4; values of nnU-Net 2.8.1.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from typing_extensions import override

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    Augmentation,
    PatchContext,
    Patches,
    RandomGenerators,
)
from autoseg.core.arrays import MaskArray
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class CascadeComponents(Augmentation):
    """Sets one connected component of a class to background.

    Attributes:
        probability: Probability that a patch is augmented.
        class_probability: Probability that a class of an augmented patch loses a component.
        largest_share: Components that cover at least this share of the patch are never removed.
    """

    changes_cascade_input: ClassVar[bool] = True

    kind: Literal["cascade_components"] = "cascade_components"
    probability: Fraction = 0.2
    class_probability: Fraction = 0.5
    largest_share: Fraction = 0.15

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        for channels in patches.images:
            for channel in channels:
                is_chosen = generators.per_patch.random() < self.class_probability
                if is_chosen and channel.any():
                    removed = self._choose_component(
                        channel.cpu().numpy() != 0, generators.per_patch
                    )
                    channel[torch.from_numpy(removed).to(channel.device)] = 0
        return patches

    def _choose_component(self, present: MaskArray, generator: np.random.Generator) -> MaskArray:
        """Return the mask of a randomly chosen small component; empty if there is none.

        Voxels that touch at a corner belong to the same component.
        """
        from scipy import ndimage

        components, _ = ndimage.label(present, structure=np.ones((3,) * present.ndim))
        sizes = np.bincount(components.ravel())
        small = np.flatnonzero(sizes < self.largest_share * present.size)
        candidates = small[small > 0]
        if not len(candidates):
            return np.zeros_like(present)
        return np.asarray(components == generator.choice(candidates))
