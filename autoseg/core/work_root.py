"""Default location of work folders, in its own module so that importing it is fast."""

from pathlib import Path

WORK_ROOT = Path("autoseg_work")
"""Default parent folder of work folders, relative to the current folder."""
