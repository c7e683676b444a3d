"""Estimate the time of training steps of other networks from a few timed steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.documents.machine import StepCosts

MULTIPLICATIONS_UNIT = 1e9
ACTIVATIONS_UNIT = 1e6


@dataclass(frozen=True)
class TimedStep:
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
    """Fit non-negative costs to timed steps.

    Relative errors are minimised, so that short steps weigh as much as long ones.

    Args:
        steps: At least three steps of networks of different sizes and widths.
    """
    from scipy.optimize import nnls

    sizes = np.array(
        [
            (1.0, step.multiplications / MULTIPLICATIONS_UNIT, step.activations / ACTIVATIONS_UNIT)
            for step in steps
        ]
    )
    seconds = np.array([step.seconds for step in steps])
    costs, _ = nnls(sizes / seconds[:, None], np.ones(len(steps)))
    return StepCosts(
        seconds_per_step=float(costs[0]),
        seconds_per_billion_multiplications=float(costs[1]),
        seconds_per_million_activations=float(costs[2]),
    )
