"""Experiment trackers: one module each. To add one, add a module to this package."""

from autoseg.tracking.base import TRACKERS, Tracker

TRACKERS.discover(__name__)

__all__ = ["TRACKERS", "Tracker"]
