"""Lesion-wise F1 score of connected components."""

from typing import Literal

import numpy as np
from jaxtyping import Integer
from scipy import ndimage
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class LesionF1(Metric):
    """F1 score of connected components, 0 … 1; 0 if one mask is empty.

    Voxels that share a face, an edge or a corner are connected. A component of the reference is
    found if it shares a voxel with the prediction, otherwise it is missed. A predicted component
    that shares no voxel with the reference is false. F1 is 2 · found / (2 · found + missed +
    false). One predicted component can find several components of the reference, so consider F1
    together with Dice.

    Source: Hernandez Petzsche et al., "ISLES 2022", Scientific Data 9 (2022): the lesion-wise F1
        score of that challenge, any overlap.
    """

    title = "lesion F1"
    cost = "expensive"
    is_symmetric = False

    kind: Literal["lesion_f1"] = "lesion_f1"

    @override
    def compute(self, pair: Comparison) -> float:
        true, num_true = _components(pair.reference)
        predicted, num_predicted = _components(pair.prediction)
        common = pair.prediction & pair.reference
        found = len(np.unique(true[common]))
        false = num_predicted - len(np.unique(predicted[common]))
        return 2 * found / (found + num_true + false)


def _components(mask: MaskArray) -> tuple[Integer[np.ndarray, "*space"], int]:
    """Label the connected components of a mask; return the labels and the number of components."""
    labelled, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return labelled, int(count)
