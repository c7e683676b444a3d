"""Learning rate schedules: one module each. To add one, add a module to this package."""

from autoseg.schedules.base import SCHEDULES, AnySchedule, Schedule

SCHEDULES.discover(__name__)

__all__ = ["SCHEDULES", "AnySchedule", "Schedule"]
