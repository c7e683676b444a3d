"""Orientation of pictures, as cameras and scanners note it in a file."""

import numpy as np
from numpy.typing import NDArray

TRANSPOSED = (5, 6, 7, 8)
"""Orientations that swap rows and columns."""

TOP_DOWN = (3, 4, 7, 8)
"""Orientations whose stored rows or columns begin at the bottom of the shown picture, after the
exchange of rows and columns."""

RIGHT_TO_LEFT = (2, 3, 6, 7)
"""Orientations whose stored columns or rows begin at its right side, after that exchange."""


def upright(voxels: NDArray[np.generic], orientation: int) -> NDArray[np.generic]:
    """Return pixels as viewers show them.

    Args:
        voxels: Channels first; rows and columns are the last two axes.
        orientation: From 1, as stored, to 8; other values count as 1. Source: Exif, CIPA DC-008,
            and TIFF 6.0, tag Orientation.
    """
    if orientation in TRANSPOSED:
        voxels = voxels.swapaxes(-1, -2)
    if orientation in TOP_DOWN:
        voxels = voxels[..., ::-1, :]
    if orientation in RIGHT_TO_LEFT:
        voxels = voxels[..., ::-1]
    return np.asarray(voxels)
