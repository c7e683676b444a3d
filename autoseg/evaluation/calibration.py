"""How far probabilities can be taken at their word."""

import numpy as np
from jaxtyping import Bool, Float

BINS = 15
"""Of equal width. Source: Guo et al. 2017."""

ROUNDING = 1e-5
"""Of a bin's width: 17/255, the upper end of the first, may be stored as a little more."""


class CalibrationError:
    """Adds up, block by block, how far the probability of one class is from how often it is true.

    The voxels are sorted into bins by the probability that they have the class; per bin, the mean
    probability is compared with the share of voxels that do have it. The expected calibration error
    is the mean of these differences, each bin counting as often as it has voxels. Each class has
    its own, all voxels counting, whatever class is the most probable.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017; class by class:
        Nixon et al., "Measuring calibration in deep learning", CVPR workshops 2019.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._excess = np.zeros(BINS)
        self._num_voxels = 0

    def add(
        self, probabilities: Float[np.ndarray, " voxels"], truth: Bool[np.ndarray, " voxels"]
    ) -> None:
        """Take some voxels.

        Args:
            probabilities: Of the class, 0 … 1; the upper end of a bin belongs to it.
            truth: Where the voxel has the class.
        """
        bins = np.ceil(probabilities * BINS - ROUNDING).astype(np.intp) - 1
        excess = probabilities.astype(np.float64) - truth
        self._excess += np.bincount(np.clip(bins, 0, BINS - 1), weights=excess, minlength=BINS)
        self._num_voxels += len(probabilities)

    def add_certain(self, num_voxels: int, num_true: int) -> None:
        """Take voxels whose probability is 0.

        Args:
            num_voxels: How many.
            num_true: How many of them have the class all the same.
        """
        self._excess[0] -= num_true
        self._num_voxels += num_voxels

    def value(self) -> float | None:
        """Return the expected calibration error, 0 … 1; None without any voxel."""
        if not self._num_voxels:
            return None
        return float(np.abs(self._excess).sum()) / self._num_voxels
