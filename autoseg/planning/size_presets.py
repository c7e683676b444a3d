"""The sizes of network, patch and batch that a plan can choose from where time is short."""

from dataclasses import dataclass

from autoseg.architectures import Architecture
from autoseg.architectures.u_shape import (
    BASE_FEATURES,
    COMPACT_BASE_FEATURES,
    doubling_features,
)

SMALLEST_FEATURES = 8
"""Features of the first stage of the narrowest network."""


@dataclass(frozen=True)
class SizePreset:
    """A size of network, patch and batch.

    Attributes:
        features: Of the first stage, for networks that start at 32; other networks have only their
            compact variant, below 32, and their own width.
        voxels: Of a patch at most, and of a batch of more than two; None for the patch and batch
            of the reference.
    """

    features: int
    voxels: int | None


WIDTHS = (BASE_FEATURES, COMPACT_BASE_FEATURES, SMALLEST_FEATURES)
"""Features of the first stage that are compared."""

PATCH_VOXELS = tuple(2**exponent for exponent in range(14, 21))
"""Largest numbers of voxels of a patch that are compared; so is the reference's patch."""


def narrowed(full: Architecture, features: int) -> Architecture:
    """Return a network at another width.

    Args:
        full: The network at its own width.
        features: Of the first stage, for networks whose widths double from 32.
    """
    if features >= BASE_FEATURES:
        return full
    doubles = getattr(full, "features", None) == doubling_features(BASE_FEATURES, full.topology)
    if features == COMPACT_BASE_FEATURES or not doubles:
        return full.compact()
    return full.model_copy(update={"features": doubling_features(features, full.topology)})
