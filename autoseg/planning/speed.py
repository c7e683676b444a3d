"""Estimate the time of training steps of other networks from a few timed steps."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from autoseg.documents.machine import StepCosts


class TimedStep(NamedTuple):
    """A training step that was timed.

    Attributes:
        multiplications: Multiplications of all convolutions in the forward pass of the batch.
        activations: Output values of these convolutions.
        seconds: Time of the step.
    """

    multiplications: float
    activations: float
    seconds: float


def fitted_costs(steps: Sequence[TimedStep]) -> StepCosts:
    """Fit non-negative costs to three or more timed steps of different sizes and widths.

    Relative errors are minimised, so that short steps weigh as much as long ones.
    """
    from scipy.optimize import nnls

    multiplications, activations, seconds = np.array(steps).T
    ones = np.ones(len(steps))
    sizes = np.stack([ones, multiplications / 1e9, activations / 1e6], axis=1)
    costs, _ = nnls(sizes / seconds[:, None], ones)
    return StepCosts(
        seconds_per_step=float(costs[0]),
        seconds_per_billion_multiplications=float(costs[1]),
        seconds_per_million_activations=float(costs[2]),
    )
