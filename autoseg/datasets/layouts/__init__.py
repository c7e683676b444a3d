"""Supported dataset layouts, one module each."""

from autoseg.datasets.layouts.recognition import Recognition, recognise

__all__ = ["Recognition", "recognise"]
