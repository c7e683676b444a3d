"""From a few timed training steps to what the steps of other networks cost."""

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
        multiplications: Of its convolutions, forward, all patches of the batch together.
        activations: Values that they put out.
        seconds: What it took.
    """

    multiplications: float
    activations: float
    seconds: float


def fitted_costs(steps: Sequence[TimedStep]) -> StepCosts:
    """Return the costs, none of them negative, that explain some timed steps best.

    Relative errors count, so that short steps weigh as much as long ones.

    Args:
        steps: Three or more, of different sizes and widths.
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
