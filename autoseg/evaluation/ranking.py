"""Order unlabelled images by the expected gain of annotating them.

Source: disagreement of several networks as uncertainty: Seung, Opper and Sompolinsky, Query by
    committee, COLT 1992; uncertain images that differ from each other and from the labelled ones:
    Yang et al., Suggestive annotation, MICCAI 2017.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from jaxtyping import Float

from autoseg.core.arrays import LabelArray, mask_of
from autoseg.core.labels import Region

LEAST_NOVELTY = 1e-3
"""Novelty of equal images, so that among them the more uncertain one is still first."""


def fold_disagreement(predictions: Sequence[LabelArray], targets: Sequence[Region]) -> float | None:
    """Return one minus the mean Dice of two predictions, over all pairs and targets.

    Args:
        predictions: Label values predicted by each fold, of the same shape.
        targets: Classes or regions; pairs in which neither fold finds a target do not count.

    Returns:
        None for fewer than two predictions; 0 if no pair counts.
    """
    if len(predictions) < 2:
        return None
    scores = []
    for target in targets:
        masks = [mask_of(values, target.values) for values in predictions]
        sizes = [int(np.count_nonzero(mask)) for mask in masks]
        for (one, size), (other, other_size) in combinations(zip(masks, sizes, strict=True), 2):
            if total := size + other_size:
                scores.append(1 - 2 * int(np.count_nonzero(one & other)) / total)
    return float(np.mean(scores)) if scores else 0.0


def flip_disagreement(consistencies: Sequence[Sequence[float | None]]) -> float | None:
    """Return one minus the mean TTA consistency over folds and targets.

    Args:
        consistencies: TTA consistency of each target, by fold; None if no prediction contains it.

    Returns:
        None if no value is known, as without mirroring.
    """
    known = [1 - value for fold in consistencies for value in fold if value is not None]
    return float(np.mean(known)) if known else None


def order_by_gain(
    uncertainties: Float[np.ndarray, " images"],
    features: Float[np.ndarray, "images values"],
    labelled: Float[np.ndarray, "labelled values"],
) -> tuple[tuple[int, float, float], ...]:
    """Choose images one after the other, each with the largest product of uncertainty and novelty.

    Args:
        uncertainties: Uncertainty of each image, 0 … 1.
        features: Description of each image, normalised to length 1.
        labelled: Descriptions of the labelled images; may be none.

    Returns:
        Index, gain and novelty of each image, in the order of choice. Novelty is one minus the
        largest correlation with a labelled or chosen image.
    """
    count = len(uncertainties)
    closest = np.full(count, -1.0)
    if len(labelled):
        closest = (features @ labelled.T).max(axis=1)
    left, order = np.ones(count, bool), []
    for _ in range(count):
        novelty = np.clip(1 - closest, LEAST_NOVELTY, 1.0)
        gains = np.where(left, uncertainties * novelty, -1.0)
        chosen = int(np.argmax(gains))
        order.append((chosen, float(gains[chosen]), float(novelty[chosen])))
        left[chosen] = False
        closest = np.maximum(closest, features @ features[chosen])
    return tuple(order)
