"""Powers whose slope stays finite."""

from jaxtyping import Float
from torch import Tensor

SMALLEST_BASE = 1e-6
"""Below it, powers are constant: with an exponent below 1 their slope at 0 is infinite."""


def bounded_power(base: Float[Tensor, "*any"], exponent: float) -> Float[Tensor, "*any"]:
    """Return `base ** exponent` of values in [0, inf); constant, without slope, below 1e-6."""
    return base.clamp(min=SMALLEST_BASE) ** exponent
