"""Expected calibration error (ECE) of predicted probabilities."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from typing_extensions import override

from autoseg.evaluation.comparison import Comparison
from autoseg.evaluation.metrics.base import METRICS, Metric

BINS = 15
"""Number of bins of equal width. Source: Guo et al. 2017."""

ROUNDING = 1e-5
"""Tolerance, as a share of a bin's width: 17/255, the upper end of the first bin, may be stored as
a slightly larger number."""


@METRICS.register
class ExpectedCalibrationError(Metric):
    """Expected calibration error of a class, 0 … 1; see `CalibrationError`."""

    title = "ECE"
    better = "lower"
    needs_probabilities = True

    kind: Literal["ece"] = "ece"

    @override
    def compute(self, pair: Comparison) -> None:
        """Return None: masks have no probabilities, so `CalibrationError` computes the value."""


class CalibrationError:
    """Accumulator of the expected calibration error of one class.

    Voxels are binned by the predicted probability of the class. In each bin, the mean probability
    is compared with the share of voxels that have the class. The expected calibration error is the
    mean of the absolute differences, weighted by the number of voxels per bin. It is computed for
    each class over all voxels, whichever class is the most probable.

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017; class by class:
        Nixon et al., "Measuring calibration in deep learning", CVPR workshops 2019.
    """

    def __init__(self) -> None:
        """Create an empty accumulator."""
        self._excess = np.zeros(BINS)
        self._num_voxels = 0

    def add(
        self, probabilities: Float[np.ndarray, " voxels"], truth: Bool[np.ndarray, " voxels"]
    ) -> None:
        """Add voxels.

        Args:
            probabilities: Probabilities of the class, 0 … 1; bins include their upper ends.
            truth: True for voxels that have the class in the reference.
        """
        bins = np.ceil(probabilities * BINS - ROUNDING).astype(np.intp) - 1
        excess = probabilities.astype(np.float64) - truth
        self._excess += np.bincount(np.clip(bins, 0, BINS - 1), weights=excess, minlength=BINS)
        self._num_voxels += len(probabilities)

    def add_certain(self, num_voxels: int, num_true: int) -> None:
        """Add voxels whose predicted probability is 0.

        Args:
            num_voxels: Number of such voxels.
            num_true: Number of them that have the class in the reference.
        """
        self._excess[0] -= num_true
        self._num_voxels += num_voxels

    def value(self) -> float | None:
        """Return the expected calibration error, 0 … 1; None if no voxel was added."""
        if not self._num_voxels:
            return None
        return float(np.abs(self._excess).sum()) / self._num_voxels
