"""Polynomial decay, at every step instead of once per epoch.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule".
"""

from typing import Literal

from pydantic import PositiveFloat
from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.schedules.base import SCHEDULES, Schedule


@SCHEDULES.register
class Polynomial(Schedule):
    """Decay `(1 - progress) ** exponent`.

    Attributes:
        exponent: 1 is a linear decay.
    """

    kind: Literal["polynomial"] = "polynomial"
    exponent: PositiveFloat = 0.9

    @override
    def decay(self, progress: Fraction) -> float:
        return float((1.0 - progress) ** self.exponent)
