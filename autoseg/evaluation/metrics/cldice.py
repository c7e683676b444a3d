"""clDice: overlap of centre lines, for tubular structures such as vessels and airways."""

from typing import Literal

import numpy as np
from scipy import ndimage
from typing_extensions import override

from autoseg.core.arrays import MaskArray
from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric


@METRICS.register
class CentreLineDice(Metric):
    """Overlap of centre lines, 0 … 1; 0 if one mask is empty.

    clDice is the harmonic mean of the share of the predicted centre line inside the reference mask
    and the share of the reference's centre line inside the predicted mask. Centre lines are counted
    in voxels and ignore the spacing: resample very anisotropic images first.

    Source: Shit et al., "clDice", CVPR 2021, equations 1 and 2; lines by Lee et al., "Building
        skeleton models via 3-D medial surface/axis thinning algorithms", CVGIP 56 (1994).
    """

    title = "clDice"
    cost = "expensive"

    kind: Literal["cldice"] = "cldice"

    @override
    def compute(self, pair: Comparison) -> float:
        if not pair.predicted or not pair.expected:
            return 0.0
        precision = _share(_centre_line(pair.prediction), pair.reference)
        sensitivity = _share(_centre_line(pair.reference), pair.prediction)
        total = precision + sensitivity
        return 2 * precision * sensitivity / total if total else 0.0


def _centre_line(mask: MaskArray) -> MaskArray:
    """Return the centre line; components that thinning removes (a cube of 2³) are kept whole."""
    from skimage.morphology import skeletonize  # takes 0.5 s, only needed for this metric

    line = np.asarray(skeletonize(mask, method="lee"), dtype=bool)
    parts, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    lost = np.setdiff1d(np.arange(1, count + 1), parts[line])
    return np.asarray(line | np.isin(parts, lost)) if len(lost) else line


def _share(line: MaskArray, mask: MaskArray) -> float:
    return np.count_nonzero(line & mask) / np.count_nonzero(line)
