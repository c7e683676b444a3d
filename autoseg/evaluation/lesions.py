"""Count which lesions, or other separate objects, were found."""

import numpy as np
from jaxtyping import Integer
from scipy import ndimage

from autoseg.core.arrays import MaskArray


def lesion_f1(prediction: MaskArray, reference: MaskArray) -> float:
    """Return the F1 score of connected components, 0 … 1; one of the masks is not empty.

    Voxels that share a face, an edge or a corner are connected. A true component that shares any
    voxel with the prediction is found, otherwise missed; a predicted one that shares no voxel with
    the reference is false. F1 is 2 · found / (2 · found + missed + false). A predicted component
    that covers several true ones finds them all: read it together with Dice.

    Source: Hernandez Petzsche et al., "ISLES 2022", Scientific Data 9 (2022): the lesion-wise F1
        score of that challenge, any overlap.
    """
    true, num_true = _components(reference)
    predicted, num_predicted = _components(prediction)
    common = prediction & reference
    found = len(np.unique(true[common]))
    false = num_predicted - len(np.unique(predicted[common]))
    return 2 * found / (found + num_true + false)


def _components(mask: MaskArray) -> tuple[Integer[np.ndarray, "*space"], int]:
    """Return the number of each voxel's component, 0 outside of all, and how many there are."""
    labelled, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    return labelled, int(count)
