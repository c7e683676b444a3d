"""Versions of the software that created a result."""

from autoseg.core.frozen import Frozen


class Versions(Frozen):
    """Versions of autoseg, torch and Python."""

    autoseg: str
    torch: str
    python: str
