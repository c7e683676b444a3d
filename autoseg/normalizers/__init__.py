"""Normalisers: one file each. To add one, add a file here; nothing else changes."""

from autoseg.normalizers.base import NORMALIZERS, AnyNormalizer, Normalizer

NORMALIZERS.discover(__name__)

__all__ = ["NORMALIZERS", "AnyNormalizer", "Normalizer"]
