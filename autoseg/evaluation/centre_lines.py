"""Compare the centre lines of tubes: vessels, airways, roads, nerves."""

import numpy as np
from scipy import ndimage

from autoseg.core.arrays import MaskArray


def centre_line_dice(prediction: MaskArray, reference: MaskArray) -> float:
    """Return clDice, 0 … 1; 0 if one of the masks is empty, which both must not be.

    The harmonic mean of the share of the predicted centre line that lies in the true mask and the
    share of the true centre line that lies in the predicted one. Lines are counted in voxels,
    whatever the spacing: resample very anisotropic images first.

    Source: Shit et al., "clDice", CVPR 2021, equations 1 and 2; lines by Lee et al., "Building
        skeleton models via 3-D medial surface/axis thinning algorithms", CVGIP 56 (1994).
    """
    if not prediction.any() or not reference.any():
        return 0.0
    right = _share(_centre_line(prediction), reference)
    found = _share(_centre_line(reference), prediction)
    return 2 * right * found / (right + found) if right + found else 0.0


def _centre_line(mask: MaskArray) -> MaskArray:
    """Return the centre line; of a part that thinning leaves nothing of (a cube of 2³), all."""
    from skimage.morphology import skeletonize  # half a second that other metrics do not need

    line = np.asarray(skeletonize(mask, method="lee"), dtype=bool)
    parts, count = ndimage.label(mask, structure=np.ones((3,) * mask.ndim))
    lost = np.setdiff1d(np.arange(1, count + 1), parts[line])
    return np.asarray(line | np.isin(parts, lost)) if len(lost) else line


def _share(line: MaskArray, mask: MaskArray) -> float:
    return np.count_nonzero(line & mask) / np.count_nonzero(line)
