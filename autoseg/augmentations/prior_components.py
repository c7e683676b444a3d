"""Take parts away from what the previous stage of a cascade predicted.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4; values of nnU-Net 2.8.1.
"""

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform
from scipy import ndimage
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext
from autoseg.core.arrays import MaskArray
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class PriorComponents(Augmentation):
    """One connected component of a class becomes background.

    Attributes:
        probability: Chance that a patch gets it.
        class_probability: Chance that a class of such a patch loses a component.
        largest_share: Components that cover this share of the patch or more stay.
    """

    changes_prior: ClassVar[bool] = True

    kind: Literal["prior_components"] = "prior_components"
    probability: Fraction = 0.2
    class_probability: Fraction = 0.5
    largest_share: Fraction = 0.15

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        return _ComponentRemoval(self.class_probability, self.largest_share)


class _ComponentRemoval(ImageOnlyTransform):  # type: ignore[misc]
    """Works on every channel that there is; voxels that touch at a corner are connected."""

    def __init__(self, class_probability: float, largest_share: float) -> None:
        super().__init__()
        self._class_probability = class_probability
        self._largest_share = largest_share

    @override
    def _apply_to_image(self, img: torch.Tensor, **params: Any) -> torch.Tensor:
        for channel in img:
            is_chosen = torch.rand(1).item() < self._class_probability
            if is_chosen and channel.any():
                channel[torch.from_numpy(self._component(channel.numpy() != 0))] = 0
        return img

    def _component(self, present: MaskArray) -> MaskArray:
        """Return one of the components that are small enough, or nothing if there is none."""
        components, _ = ndimage.label(present, structure=np.ones((3,) * present.ndim))
        sizes = np.bincount(components.ravel())
        small = np.flatnonzero(sizes < self._largest_share * present.size)
        candidates = small[small > 0]
        if not len(candidates):
            return np.zeros_like(present)
        drawn = int(torch.randint(len(candidates), (1,)).item())
        return np.asarray(components == candidates[drawn])
