"""Powers with a finite gradient."""

from jaxtyping import Float
from torch import Tensor

MIN_BASE = 1e-6
"""Smaller bases are clamped: with an exponent below 1, the gradient at 0 would be infinite."""


def bounded_power(base: Float[Tensor, "*any"], exponent: float) -> Float[Tensor, "*any"]:
    """Compute `base ** exponent` for a base in [0, inf); constant below 1e-6."""
    return base.clamp(min=MIN_BASE) ** exponent
