"""Distances of voxels to the boundaries of the reference, in mm.

Ignored voxels are neither inside nor outside, so they do not change any boundary.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32

from autoseg.core.arrays import MaskArray
from autoseg.losses.device_distances import distances_to

Masks = Bool[np.ndarray, "channels *space"]
DistanceArray = Float32[np.ndarray, "*space"]
DistanceMaps = Float32[np.ndarray, "maps *space"]


@dataclass(frozen=True)
class LabelMasks:
    """Reference masks of one patch.

    Attributes:
        foreground: Mask of each foreground class or region, `channels *space`.
        annotated: Voxels that count, `*space`; None means all.
        spacing: Size of a voxel along each axis, mm.
        are_regions: Whether the masks are regions, which may overlap and are treated separately.
    """

    foreground: Masks
    annotated: MaskArray | None
    spacing: tuple[float, ...]
    are_regions: bool


def signed_distances(masks: LabelMasks) -> DistanceMaps:
    """Compute the distance to the boundary of each class or region, negative inside.

    The distance is measured to the nearest voxel on the other side. It is 0 everywhere for a class
    that has no voxels in the patch or fills it.
    """
    inside, outside = masks.foreground, ~masks.foreground
    if masks.annotated is not None:
        inside, outside = inside & masks.annotated, outside & masks.annotated
    away, within = (
        distances_to(torch.from_numpy(side)[None], masks.spacing)[0] for side in (inside, outside)
    )
    return (away - within).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).numpy()


def contour_distances(masks: LabelMasks) -> DistanceMaps:
    """Compute the distance to the nearest voxel of another class, as one map, or one per region.

    A map without a boundary is 0 everywhere.
    """
    each: DistanceMaps = np.abs(signed_distances(masks))
    if masks.are_regions:
        return each
    without = ~each.reshape(len(each), -1).any(axis=1)
    each[without] = np.inf
    nearest = each.min(axis=0, keepdims=True)
    return np.asarray(np.where(np.isfinite(nearest), nearest, 0.0), dtype=np.float32)
