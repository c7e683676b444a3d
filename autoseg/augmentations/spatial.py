"""Random rotation and scaling of image and labels together.

Source: Isensee et al., Nature Methods 18 (2021), Supplementary Note 4.
"""

from math import ceil, cos, pi, sin
from typing import Any, Literal

from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.pseudo2d import (
    Convert2DTo3DTransform,
    Convert3DTo2DTransform,
)
from typing_extensions import override

from autoseg.augmentations.base import AUGMENTATIONS, Augmentation, PatchContext
from autoseg.core.frozen import Fraction

ELONGATED_PATCH_RATIO = 1.5
"""Longest over shortest edge beyond which a 2-D patch is only rotated a little."""

LOADED_SCALE = 0.85
"""A loaded region is this much larger than its patch asks for, so that most scalings find data."""


@AUGMENTATIONS.register
class Spatial(Augmentation):
    """Rotation about the patch centre and isotropic scaling.

    Attributes:
        rotation_probability: Chance that a patch is rotated.
        scaling_probability: Chance that a patch is scaled, independently.
        scaling: Range of the scale; above 1 makes objects smaller.
        volume_degrees: Largest rotation about each axis of a 3-D patch.
        plane_degrees: Largest rotation within a plane (2-D patches and `in_plane_only`).
        elongated_plane_degrees: The same for patches beyond `ELONGATED_PATCH_RATIO`.
    """

    kind: Literal["spatial"] = "spatial"
    rotation_probability: Fraction = 0.2
    scaling_probability: Fraction = 0.2
    scaling: tuple[float, float] = (0.7, 1.4)
    volume_degrees: float = 30.0
    plane_degrees: float = 180.0
    elongated_plane_degrees: float = 15.0

    @override
    def chance(self) -> float:
        neither = (1 - self.rotation_probability) * (1 - self.scaling_probability)
        return self.probability * (1 - neither)

    @override
    def loaded_shape(self, context: PatchContext) -> tuple[int, ...]:
        """Return the extent of the rotated patch, at the largest angle, over `LOADED_SCALE`."""
        fixed = 1 if context.in_plane_only else 0
        angle = min(self.max_degrees(context), 90.0) / 180 * pi
        turned = context.patch_shape[fixed:]
        extents = []
        for axis, size in enumerate(turned):
            others = [other for index, other in enumerate(turned) if index != axis]
            widest = max([size, *(cos(angle) * size + sin(angle) * other for other in others)])
            extents.append(ceil(widest / LOADED_SCALE))
        return (*context.patch_shape[:fixed], *extents)

    def max_degrees(self, context: PatchContext) -> float:
        """Return the largest rotation that patches of this shape get."""
        shape = context.patch_shape
        if context.in_plane_only:
            return self.plane_degrees
        if len(shape) == 3:
            return self.volume_degrees
        elongated = max(shape) / min(shape) > ELONGATED_PATCH_RATIO
        return self.elongated_plane_degrees if elongated else self.plane_degrees

    @override
    def build(self, context: PatchContext) -> BasicTransform:
        limit = self.max_degrees(context) / 180 * pi
        shape = context.patch_shape[1:] if context.in_plane_only else context.patch_shape
        moving = _MovingTransform(
            shape,
            patch_center_dist_from_border=0,
            random_crop=False,
            p_rotation=self.rotation_probability,
            rotation=(-limit, limit),
            p_scaling=self.scaling_probability,
            scaling=self.scaling,
            p_synchronize_scaling_across_axes=1,
        )
        if context.in_plane_only:
            return ComposeTransforms([Convert3DTo2DTransform(), moving, Convert2DTo3DTransform()])
        return moving


class _MovingTransform(SpatialTransform):  # type: ignore[misc]
    """Draws until the patch is rotated or scaled, since `chance` has already decided that it is."""

    @override
    def get_parameters(self, **data_dict: Any) -> dict[str, Any]:
        while True:
            parameters: dict[str, Any] = super().get_parameters(**data_dict)
            if parameters["grid"] is not None:
                return parameters
