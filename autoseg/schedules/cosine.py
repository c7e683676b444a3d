"""Cosine decay.

Source: Loshchilov & Hutter, ICLR 2017 (SGDR), equation 5 without restarts and down to 0.
"""

from math import cos, pi
from typing import Literal

from typing_extensions import override

from autoseg.core.frozen import Fraction
from autoseg.schedules.base import SCHEDULES, Schedule


@SCHEDULES.register
class Cosine(Schedule):
    """Decay `(1 + cos(π · progress)) / 2`, which is slow at the start and at the end."""

    kind: Literal["cosine"] = "cosine"

    @override
    def decay(self, progress: Fraction) -> float:
        return (1.0 + cos(pi * progress)) / 2.0
