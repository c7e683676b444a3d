"""Which software something was made with."""

from autoseg.core.frozen import Frozen


class Versions(Frozen):
    """Software that a run was made with."""

    autoseg: str
    torch: str
    python: str
