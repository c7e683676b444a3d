"""Boundary IoU: overlap of the parts of both masks that are near their own boundaries."""

from typing import Literal

import numpy as np
from scipy import ndimage
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.evaluation.comparison import ROUNDING_SLACK, Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric

DIAGONAL_SHARE = 0.02
"""Width of the boundary region as a share of the image diagonal. Source: Cheng et al. 2021."""


@METRICS.register
class BoundaryIoU(Metric):
    """IoU of the boundary regions, 0 … 1; 0 if one mask is empty.

    The boundary region of a mask consists of its voxels within a distance d of the nearest voxel
    outside the mask; voxels beyond the image border are outside. d is 2 % of the diagonal of the
    image (in 3-D, of the volume), at least one voxel along the coarsest axis. Distances are
    Euclidean between voxel centres, in mm. Where an object is thinner than 2 d, all of it is
    boundary region, so the value of a small object is its IoU.

    Source: Cheng et al., "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation",
        CVPR 2021, for pixels of 2-D images. The authors' code erodes with squares, that is, it
        takes the larger of the distances along both axes.
    """

    title = "boundary IoU"
    cost = "expensive"
    depends_on_spacing = True

    kind: Literal["boundary_iou"] = "boundary_iou"

    @override
    def compute(self, pair: Comparison) -> float:
        diagonal_mm = np.linalg.norm(np.multiply(pair.image_shape, pair.spacing))
        width_mm = max(DIAGONAL_SHARE * float(diagonal_mm), *pair.spacing)
        first, second = (
            _boundary_region(mask, pair.spacing, width_mm)
            for mask in (pair.prediction, pair.reference)
        )
        return np.count_nonzero(first & second) / np.count_nonzero(first | second)


def _boundary_region(mask: MaskArray, spacing: tuple[float, ...], width_mm: float) -> MaskArray:
    """Return the voxels of a mask whose distance to the nearest voxel outside is at most the width.

    Args:
        mask: The mask; voxels beyond its border are outside.
        spacing: Voxel size along each axis, mm.
        width_mm: Width of the region, mm.
    """
    depths = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=spacing)
    inner = depths[(slice(1, -1),) * mask.ndim]
    return np.asarray(mask & (inner <= width_mm * (1 + ROUNDING_SLACK)))
