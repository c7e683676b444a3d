"""Where work folders lie; apart from all else, so that lists of options load nothing for it."""

from pathlib import Path

WORK_ROOT = Path("autoseg_work")
"""Where work folders lie when nobody says otherwise, relative to the current folder."""
