"""Layouts: the ways in which datasets lie on disk, one file each."""

from autoseg.datasets.layouts.recognition import Recognition, recognise

__all__ = ["Recognition", "recognise"]
