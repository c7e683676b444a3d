"""Augmentations: one module each. To add one, add a module to this package."""

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    AnyAugmentation,
    Augmentation,
    PatchContext,
    Patches,
    RandomGenerators,
    random_generators,
)

AUGMENTATIONS.discover(__name__)

__all__ = [
    "AUGMENTATIONS",
    "AnyAugmentation",
    "Augmentation",
    "PatchContext",
    "Patches",
    "RandomGenerators",
    "random_generators",
]
