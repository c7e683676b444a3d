"""Record of what an experiment tracker already holds of a run, from which tracking resumes."""

from typing import ClassVar, Literal

from autoseg.core.frozen import NonNegativeInt
from autoseg.documents.document import Document


class TrackedRun(Document):
    """A run in an experiment tracker; stored as `tracking.<kind>.json` in the folder of the run.

    Attributes:
        kind: Name of the tracker.
        address: Server or database of the tracker, without passwords; None for the default one.
        id: Identifier of the run in the tracker.
        last_step: Last step with logged metrics; 0 without any.
        is_finished: Whether final scores and files are logged.
    """

    MADE_BY: ClassVar[str] = "autoseg train --track"
    schema_version: Literal[1] = 1
    kind: str
    address: str | None
    id: str
    last_step: NonNegativeInt = 0
    is_finished: bool = False
