"""Augmentations: one file each. To add one, add a file here; nothing else changes."""

from autoseg.augmentations.base import (
    AUGMENTATIONS,
    AnyAugmentation,
    Augmentation,
    Draws,
    PatchContext,
    Patches,
    draws_of,
)

AUGMENTATIONS.discover(__name__)

__all__ = [
    "AUGMENTATIONS",
    "AnyAugmentation",
    "Augmentation",
    "Draws",
    "PatchContext",
    "Patches",
    "draws_of",
]
