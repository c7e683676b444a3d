"""Distances from every voxel to the boundaries of the reference, in mm.

Only annotated voxels are inside or outside: an ignored one is neither, so it moves no boundary.
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
    """The reference of one patch.

    Attributes:
        foreground: Which voxels belong to each foreground class, or to each region.
        annotated: Voxels that count; None means all.
        spacing: Size of a voxel along each axis, mm.
        are_regions: Whether masks may overlap and each is judged alone.
    """

    foreground: Masks
    annotated: MaskArray | None
    spacing: tuple[float, ...]
    are_regions: bool


def signed_distances(masks: LabelMasks) -> DistanceMaps:
    """Return the distance to the boundary of each class or region, negative inside.

    Measured to the nearest voxel on the other side. A class that has no voxel in the patch, or
    all, has no boundary: 0 everywhere.
    """
    inside, outside = masks.foreground, ~masks.foreground
    if masks.annotated is not None:
        inside, outside = inside & masks.annotated, outside & masks.annotated
    away, within = (
        distances_to(torch.from_numpy(side)[None], masks.spacing)[0] for side in (inside, outside)
    )
    return (away - within).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).numpy()


def contour_distances(masks: LabelMasks) -> DistanceMaps:
    """Return the distance to the nearest voxel of another class, as one map; or one per region.

    0 everywhere where there is no boundary.
    """
    each: DistanceMaps = np.abs(signed_distances(masks))
    if masks.are_regions:
        return each
    without = ~each.reshape(len(each), -1).any(axis=1)
    each[without] = np.inf
    nearest = each.min(axis=0, keepdims=True)
    return np.asarray(np.where(np.isfinite(nearest), nearest, 0.0), dtype=np.float32)
