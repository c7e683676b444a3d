"""Base class of the learning rate schedules: linear warm-up, and a decay to zero."""

from abc import abstractmethod
from typing import Annotated

from pydantic import BeforeValidator, SerializeAsAny

from autoseg.core.frozen import Fraction
from autoseg.core.registry import Component, Family

WARM_UP_OFFSET = 1e-3
"""Progress by which the warm-up is ahead, so that the learning rate of the first step is not 0."""


class Schedule(Component):
    """Configuration of a learning rate schedule.

    Attributes:
        warm_up: Share of the training in which the learning rate rises linearly from almost zero.
    """

    warm_up: Fraction = 0.0

    @abstractmethod
    def decay(self, progress: Fraction) -> float:
        """Return the factor of the learning rate apart from the warm-up: 1 falling to 0.

        Args:
            progress: Completed share of the training, in [0, 1].
        """

    def learning_rate(self, peak: float, progress: Fraction) -> float:
        """Return the learning rate: the peak, times the warm-up, times the decay.

        Args:
            peak: Learning rate without warm-up and decay.
            progress: Completed share of the training, in [0, 1].
        """
        rise = min(1.0, (progress + WARM_UP_OFFSET) / self.warm_up) if self.warm_up else 1.0
        return peak * rise * self.decay(progress)


SCHEDULES: Family[Schedule] = Family("learning rate schedule")
AnySchedule = Annotated[SerializeAsAny[Schedule], BeforeValidator(SCHEDULES.parse)]
