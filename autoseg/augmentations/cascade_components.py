"""Take parts away from what the previous stage of a cascade predicted.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4; values of nnU-Net 2.8.1.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, Draws, PatchContext, Patches
from autoseg.core.arrays import MaskArray
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class CascadeComponents(Augmentation):
    """One connected component of a class becomes background.

    Attributes:
        probability: Chance that a patch gets it.
        class_probability: Chance that a class of such a patch loses a component.
        largest_share: Components that cover this share of the patch or more stay.
    """

    changes_cascade_input: ClassVar[bool] = True

    kind: Literal["cascade_components"] = "cascade_components"
    probability: Fraction = 0.2
    class_probability: Fraction = 0.5
    largest_share: Fraction = 0.15

    @override
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        for channels in patches.images:
            for channel in channels:
                is_chosen = draws.numbers.random() < self.class_probability
                if is_chosen and channel.any():
                    gone = self._component(channel.cpu().numpy() != 0, draws.numbers)
                    channel[torch.from_numpy(gone).to(channel.device)] = 0
        return patches

    def _component(self, present: MaskArray, numbers: np.random.Generator) -> MaskArray:
        """Return one of the components that are small enough, or nothing if there is none.

        Voxels that touch at a corner are connected.
        """
        from scipy import ndimage

        components, _ = ndimage.label(present, structure=np.ones((3,) * present.ndim))
        sizes = np.bincount(components.ravel())
        small = np.flatnonzero(sizes < self.largest_share * present.size)
        candidates = small[small > 0]
        if not len(candidates):
            return np.zeros_like(present)
        return np.asarray(components == numbers.choice(candidates))
