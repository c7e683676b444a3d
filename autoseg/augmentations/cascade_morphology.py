"""Grow, shrink, open or close what the previous stage of a cascade predicted.

Training cases are predicted better than new ones, though never by a network that trained on them;
so their predictions are made worse, lest the network trusts them.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4; values of nnU-Net 2.8.1.
"""

from typing import ClassVar, Literal

import numpy as np
import torch
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, Draws, PatchContext, Patches
from autoseg.core.arrays import MaskArray
from autoseg.core.frozen import Fraction

Operation = Literal["dilation", "erosion", "opening", "closing"]

OPERATIONS: tuple[Operation, ...] = ("dilation", "erosion", "opening", "closing")


@AUGMENTATIONS.register
class CascadeMorphology(Augmentation):
    """Dilation, erosion, opening or closing with a ball, drawn anew for each class.

    What a class gains is taken from the others.

    Attributes:
        probability: Chance that a patch gets it.
        class_probability: Chance that a class of such a patch is changed.
        radius: Range of the ball's radius, voxels.
    """

    changes_cascade_input: ClassVar[bool] = True

    kind: Literal["cascade_morphology"] = "cascade_morphology"
    probability: Fraction = 0.4
    class_probability: Fraction = 0.5
    radius: tuple[float, float] = (1.0, 8.0)

    @override
    def apply(self, patches: Patches, draws: Draws, context: PatchContext) -> Patches:
        for channels in patches.images:
            for index in draws.numbers.permutation(len(channels)):
                is_chosen = draws.numbers.random() < self.class_probability
                if is_chosen and channels[index].any():
                    self._change(channels, int(index), draws.numbers)
        return patches

    def _change(self, channels: torch.Tensor, index: int, numbers: np.random.Generator) -> None:
        operation = OPERATIONS[int(numbers.integers(len(OPERATIONS)))]
        before = channels[index].cpu().numpy() != 0
        after = changed(before, operation, numbers.uniform(*self.radius))
        gained = torch.from_numpy(after & ~before).to(channels.device)
        channels[:, gained] = 0
        channels[index] = torch.from_numpy(after).to(channels)


def changed(mask: MaskArray, operation: Operation, radius: float) -> MaskArray:
    """Return a mask after a morphological operation with a ball.

    Args:
        mask: At least one voxel is in it. What is outside the array is never shrunk from.
        operation: Which.
        radius: Of the ball, voxels.
    """
    if operation == "dilation":
        return _dilated(mask, radius)
    if operation == "erosion":
        return ~_dilated(~mask, radius)
    if operation == "opening":
        return _dilated(~_dilated(~mask, radius), radius)
    return ~_dilated(~_dilated(mask, radius), radius)


def _dilated(mask: MaskArray, radius: float) -> MaskArray:
    from scipy import ndimage

    if not mask.any():
        return mask
    distances = ndimage.distance_transform_edt(~mask)
    return np.asarray(distances <= radius)
