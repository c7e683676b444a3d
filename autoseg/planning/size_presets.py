"""Sizes of network, patch and batch to choose from for short trainings."""

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
        features: Features of the first stage, for networks that start at 32. Other networks only
            have their own width and, for values below 32, their compact variant.
        voxels: Maximum voxels of a patch, and of a batch of more than two patches; None for the
            patch and batch of the reference.
    """

    features: int
    voxels: int | None


WIDTHS = (BASE_FEATURES, COMPACT_BASE_FEATURES, SMALLEST_FEATURES)
"""Features of the first stage to compare."""

PATCH_VOXELS = tuple(2**exponent for exponent in range(14, 21))
"""Maximum patch voxels to compare, in addition to the patch of the reference."""


def narrowed(full: Architecture, features: int) -> Architecture:
    """Return a narrower variant of a network.

    Args:
        full: The network at its own width.
        features: Features of the first stage, for networks whose widths double from 32.
    """
    if features >= BASE_FEATURES:
        return full
    doubles = getattr(full, "features", None) == doubling_features(BASE_FEATURES, full.topology)
    if features == COMPACT_BASE_FEATURES or not doubles:
        return full.compact()
    return full.model_copy(update={"features": doubling_features(features, full.topology)})
