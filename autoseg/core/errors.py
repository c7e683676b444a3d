"""Every error a user can cause, in one tree.

AutosegError
├── DatasetError      the dataset on disk does not match its description
├── CaseError         one case cannot be read, prepared or predicted
├── DocumentError     a JSON document is missing, damaged or of another version
├── PlanError         no configuration fits, or an edited plan cannot work
├── TrainingError     training cannot start, go on or be resumed
├── Interrupted       someone asked to stop; what was done is saved
├── ModelError        a trained model is missing, ambiguous or damaged
├── MissingPackage    an optional part needs a package that is not installed
├── ExtensionError    an installed package brings a component that cannot be imported
└── UnknownComponent  a name that no registered component has

A message states what was found, what was expected, and the next thing to try.
The command line prints the message alone, also for a disk that is full or closed to the user; any
other exception is a bug and keeps its traceback, or its place if it concerns one case of several.
"""

import errno
from pathlib import Path
from traceback import extract_tb

UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
"""What the system says of a disk that is full or closed to the user: no bug, so no traceback."""


class AutosegError(Exception):
    """Base class: the message is written for the person at the keyboard."""


class DatasetError(AutosegError):
    """The dataset on disk does not match its description."""


class CaseError(AutosegError):
    """One case cannot be read, prepared or predicted."""


class DocumentError(AutosegError):
    """A JSON document is missing, damaged or of another version."""


class PlanError(AutosegError):
    """No configuration fits, or an edited plan cannot work."""


class TrainingError(AutosegError):
    """Training cannot start, go on or be resumed."""


class Interrupted(AutosegError):  # noqa: N818  (not an issue)
    """Someone asked to stop; what was done is saved and the same command goes on."""


class ModelError(AutosegError):
    """A trained model is missing, ambiguous or damaged."""


class MissingPackage(AutosegError):  # noqa: N818  (reads better than MissingPackageError)
    """An optional part needs a package that is not installed."""


class ExtensionError(AutosegError):
    """An installed package brings a component that cannot be imported."""


class UnknownComponent(AutosegError):  # noqa: N818  (reads better than UnknownComponentError)
    """A name that no registered component has."""


def issue_of_disk(error: OSError) -> str | None:
    """Return what to do about a disk that is full or closed to the user; None if it is neither."""
    if error.errno not in UNWRITABLE:
        return None
    place = f"{error.filename}: " if error.filename else ""
    return (
        f"{place}{error.strerror}. Free space, or name a place that you may write to (--work for "
        "work folders); what was finished stays, and the same command goes on."
    )


def issue_of_case(error: Exception) -> str:
    """Return why one case of several has no result.

    Of what nobody foresaw, that is its kind and where it came up, so that it can be reported.
    """
    if isinstance(error, AutosegError):
        return str(error)
    frames = extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def first_line(error: Exception) -> str:
    """Return the first line of what an error says; its kind if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
