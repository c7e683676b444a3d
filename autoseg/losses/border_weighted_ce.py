"""Cross-entropy that weighs the gaps between objects that almost touch.

Source: Ronneberger et al., MICCAI 2015, equation 2: w0 = 10, sigma = 5 pixels.
"""

from typing import Literal

import numpy as np
from pydantic import NonNegativeFloat, PositiveFloat
from typing_extensions import override

from autoseg.core.tensors import LogitsBatch, Scalar, ValidMask
from autoseg.losses.base import LOSSES, Targets
from autoseg.losses.cross_entropy import cross_entropy_terms, mean_of_terms, term_weights
from autoseg.losses.distance_loss import DistanceLoss, Measured
from autoseg.losses.distances import DistanceArray, DistanceMaps, LabelMasks, Masks

REACH = 6.0
"""Distances up to this many sigma count; the term at their end is exp(-18), 1e-8 of its largest."""


@LOSSES.register
class BorderWeightedCrossEntropy(DistanceLoss):
    """Mean by the weights `w_class + w0·exp(-(d1 + d2)² / (2·sigma²))` of the voxels.

    d1 and d2 are the distances to the nearest object and to the second nearest; inside an object,
    d1 is 0. Objects are the face-connected parts of a foreground class (or of each region, which
    then has weights of its own). Distances are in voxels of the finest axis, measured with the
    spacing, so that isotropic images have the published pixels. Departs: divided by the sum of the
    weights, as all weighted means here.

    Attributes:
        border_weight: w0.
        sigma: How wide gaps may be, voxels of the finest axis.
        class_weights: w_class, background first (or of each region); none means 1.
    """

    kind: Literal["border_weighted_ce"] = "border_weighted_ce"
    border_weight: NonNegativeFloat = 10.0
    sigma: PositiveFloat = 5.0
    class_weights: tuple[PositiveFloat, ...] | None = None

    @override
    def label_maps(self, masks: LabelMasks) -> DistanceMaps:
        relative = tuple(step / min(masks.spacing) for step in masks.spacing)
        known = masks.foreground if masks.annotated is None else masks.foreground & masks.annotated
        groups = [known[at : at + 1] for at in range(len(known))] if masks.are_regions else [known]
        return np.stack([self._border_weights(group, relative) for group in groups])

    def _border_weights(self, masks: Masks, spacing: tuple[float, ...]) -> DistanceArray:
        """Return the second term of the weights; the masks are those of classes."""
        first, second = _two_nearest(masks, spacing, REACH * self.sigma)
        squared = (first.astype(np.float64) + second) ** 2
        weights = self.border_weight * np.exp(-squared / (2 * self.sigma**2))
        return np.asarray(weights, dtype=np.float32)

    @override
    def value(
        self, logits: LogitsBatch, labels: Targets, valid: ValidMask | None, measured: Measured
    ) -> Scalar:
        terms = cross_entropy_terms(logits, labels)
        weights = term_weights(terms, labels, self.class_weights)
        weights = measured.maps + (1.0 if weights is None else weights)
        return mean_of_terms(terms, valid, weights.to(terms.dtype))


def _two_nearest(
    masks: Masks, spacing: tuple[float, ...], reach: float
) -> tuple[DistanceArray, DistanceArray]:
    """Return the distances to the nearest and the second nearest object; infinite beyond reach."""
    from scipy import ndimage

    first = np.full(masks.shape[1:], np.inf, dtype=np.float32)
    second = first.copy()
    margins = [int(np.ceil(reach / step)) for step in spacing]
    for mask in masks:
        objects, _ = ndimage.label(mask)
        for number, found in enumerate(ndimage.find_objects(objects), start=1):
            around = tuple(
                slice(max(0, part.start - margin), part.stop + margin)
                for part, margin in zip(found, margins, strict=True)
            )
            away = ndimage.distance_transform_edt(objects[around] != number, sampling=spacing)
            distance = away.astype(np.float32)
            second[around] = np.minimum(second[around], np.maximum(first[around], distance))
            first[around] = np.minimum(first[around], distance)
    return first, second
