"""Cross-entropy with larger weights in narrow gaps between objects.

Source: Ronneberger et al., MICCAI 2015, equation 2: w0 = 10, sigma = 5 pixels.
"""

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar
from autoseg.losses.base import LOSSES, Targets, Valid
from autoseg.losses.cross_entropy import (
    ClassWeights,
    cross_entropy_terms,
    mean_of_terms,
    term_weights,
)
from autoseg.losses.distance_loss import BatchGeometry, DistanceLoss
from autoseg.losses.distances import DistanceArray, DistanceMaps, LabelMasks, Masks

CUTOFF_SIGMAS = 6.0
"""Cutoff distance in sigmas; the border term there is exp(-18), about 1e-8 of its maximum."""


@LOSSES.register
class BorderWeightedCrossEntropy(DistanceLoss):
    """Weighted mean with voxel weights `w_class + w0·exp(-(d1 + d2)² / (2·sigma²))`.

    d1 and d2 are the distances to the nearest and the second nearest object; d1 is 0 inside an
    object. Objects are the face-connected components of a foreground class (or of each region,
    which then has its own weights). Distances take the spacing into account and are in units of
    the finest axis, so that they equal the published pixels for isotropic images. Unlike the
    published loss, the sum is divided by the sum of weights, as in all weighted losses here.

    Attributes:
        border_weight: w0.
        sigma: Width of the gaps to emphasise, in voxels of the finest axis.
        class_weights: w_class, background first (or of each region); None means 1.
    """

    kind: Literal["border_weighted_ce"] = "border_weighted_ce"
    border_weight: NonNegativeFloat = 10.0
    sigma: PositiveFloat = 5.0
    class_weights: ClassWeights = None

    @override
    def reference_maps(self, masks: LabelMasks) -> DistanceMaps:
        relative = tuple(step / min(masks.spacing) for step in masks.spacing)
        known = masks.foreground if masks.annotated is None else masks.foreground & masks.annotated
        groups = [known[at : at + 1] for at in range(len(known))] if masks.are_regions else [known]
        return np.stack([self._border_weights(group, relative) for group in groups])

    def _border_weights(self, masks: Masks, spacing: tuple[float, ...]) -> DistanceArray:
        """Compute the border term of the weights from class masks."""
        first, second = _two_nearest(masks, spacing, CUTOFF_SIGMAS * self.sigma)
        squared = (first.astype(np.float64) + second) ** 2
        weights = self.border_weight * np.exp(-squared / (2 * self.sigma**2))
        return np.asarray(weights, dtype=np.float32)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: Valid, geometry: BatchGeometry
    ) -> Scalar:
        terms = cross_entropy_terms(logits, labels)
        weights = term_weights(terms, labels, self.class_weights)
        weights = geometry.maps + (1.0 if weights is None else weights)
        return mean_of_terms(terms, valid, weights.to(terms.dtype))


def _two_nearest(
    masks: Masks, spacing: tuple[float, ...], reach: float
) -> tuple[DistanceArray, DistanceArray]:
    """Compute the distances to the nearest two objects; infinite beyond `reach`."""
    from scipy import ndimage

    first = np.full(masks.shape[1:], np.inf, dtype=np.float32)
    second = first.copy()
    margins = [int(np.ceil(reach / step)) for step in spacing]
    for mask in masks:
        objects, _ = ndimage.label(mask)
        for label, box in enumerate(ndimage.find_objects(objects), start=1):
            around = tuple(
                slice(max(0, extent.start - margin), extent.stop + margin)
                for extent, margin in zip(box, margins, strict=True)
            )
            exact = ndimage.distance_transform_edt(objects[around] != label, sampling=spacing)
            distance = exact.astype(np.float32)
            second[around] = np.minimum(second[around], np.maximum(first[around], distance))
            first[around] = np.minimum(first[around], distance)
    return first, second
