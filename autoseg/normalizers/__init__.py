"""Intensity normalisers. To add one, add a file to this folder; no other change is needed."""

from autoseg.normalizers.base import NORMALIZERS, AnyNormalizer, Normalizer

NORMALIZERS.discover(__name__)

__all__ = ["NORMALIZERS", "AnyNormalizer", "Normalizer"]
