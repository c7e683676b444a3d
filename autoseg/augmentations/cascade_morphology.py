"""Random morphological changes of the cascade input.

The previous stage predicts training cases better than new cases, although each prediction comes
from a fold that did not train on the case. The cascade input is degraded so that the network does
not rely on it too much.

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
from autoseg.core.limits import Range

Operation = Literal["dilation", "erosion", "opening", "closing"]

OPERATIONS: tuple[Operation, ...] = ("dilation", "erosion", "opening", "closing")


@AUGMENTATIONS.register
class CascadeMorphology(Augmentation):
    """Dilation, erosion, opening or closing with a ball; operation and radius vary by class.

    Voxels that are added to a class are removed from the other classes.

    Attributes:
        probability: Probability that a patch is augmented.
        class_probability: Probability that a class of an augmented patch is changed.
        radius: Range of the ball's radius, voxels.
    """

    changes_cascade_input: ClassVar[bool] = True

    kind: Literal["cascade_morphology"] = "cascade_morphology"
    probability: Fraction = 0.4
    class_probability: Fraction = 0.5
    radius: Range = (1.0, 8.0)

    @override
    def apply(
        self, patches: Patches, generators: RandomGenerators, context: PatchContext
    ) -> Patches:
        for channels in patches.images:
            for index in generators.per_patch.permutation(len(channels)):
                is_chosen = generators.per_patch.random() < self.class_probability
                if is_chosen and channels[index].any():
                    self._change(channels, int(index), generators.per_patch)
        return patches

    def _change(self, channels: torch.Tensor, index: int, generator: np.random.Generator) -> None:
        operation = OPERATIONS[int(generator.integers(len(OPERATIONS)))]
        before = channels[index].cpu().numpy() != 0
        after = apply_morphology(before, operation, generator.uniform(*self.radius))
        gained = torch.from_numpy(after & ~before).to(channels.device)
        channels[:, gained] = 0
        channels[index] = torch.from_numpy(after).to(channels)


def apply_morphology(mask: MaskArray, operation: Operation, radius: float) -> MaskArray:
    """Apply a morphological operation with a ball to a mask.

    Args:
        mask: Mask with at least one voxel. The border of the array does not erode it.
        operation: Name of the operation.
        radius: Radius of the ball, voxels.
    """
    if operation == "dilation":
        return _dilate(mask, radius)
    if operation == "erosion":
        return ~_dilate(~mask, radius)
    if operation == "opening":
        return _dilate(~_dilate(~mask, radius), radius)
    return ~_dilate(~_dilate(mask, radius), radius)


def _dilate(mask: MaskArray, radius: float) -> MaskArray:
    from scipy import ndimage

    if not mask.any():
        return mask
    distances = ndimage.distance_transform_edt(~mask)
    return np.asarray(distances <= radius)
