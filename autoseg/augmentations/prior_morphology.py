"""Grow, shrink, open or close what the previous stage of a cascade predicted.

Training cases are predicted better than new ones, though never by a network that trained on them;
so their predictions are made worse, lest the network trusts them.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4; values of nnU-Net 2.8.1.
"""

from itertools import compress
from typing import Any, ClassVar, Literal

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.nnunet.random_binary_operator import (
    ApplyRandomBinaryOperatorTransform,
)
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext
from autoseg.core.frozen import Fraction


@AUGMENTATIONS.register
class PriorMorphology(Augmentation):
    """Dilation, erosion, opening or closing with a ball, drawn anew for each class.

    What a class gains is taken from the others.

    Attributes:
        probability: Chance that a patch gets it.
        class_probability: Chance that a class of such a patch is changed.
        radius: Range of the ball's radius, voxels.
    """

    changes_prior: ClassVar[bool] = True

    kind: Literal["prior_morphology"] = "prior_morphology"
    probability: Fraction = 0.4
    class_probability: Fraction = 0.5
    radius: tuple[float, float] = (1.0, 8.0)

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        return _OfAllChannels(
            channel_idx=(), strel_size=self.radius, p_per_label=self.class_probability
        )


class _OfAllChannels(ApplyRandomBinaryOperatorTransform):  # type: ignore[misc]
    """Works on every channel that holds something; nothing changes where nothing is."""

    @override
    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        channels = data_dict["image"]
        self.channel_idx = list(range(len(channels)))
        drawn: dict[str, list[Any]] = super().get_parameters(**data_dict)
        filled = [bool(channels[index].any()) for index in drawn["apply_to_channels"]]
        return {field: list(compress(values, filled)) for field, values in drawn.items()}
