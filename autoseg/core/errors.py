"""Hierarchy of the errors that a user can cause.

AutosegError
├── DatasetError      the dataset on disk does not match its description
├── CaseError         one case cannot be read, prepared or predicted
├── DocumentError     a JSON document is missing, damaged or of another version
├── PlanError         no configuration fits, or an edited plan is not valid
├── TrainingError     training cannot start, continue or be resumed
├── Interrupted       the user stopped the command; progress is saved
├── ModelError        a trained model is missing, ambiguous or damaged
├── MissingPackage    an optional feature needs a package that is not installed
├── ExtensionError    an installed package provides a component that cannot be imported
└── UnknownComponent  no registered component has this name

A message states what was found, what was expected, and what to do next.
The command line prints only the message, also for a disk that is full or not writable. Any other
exception is a bug: its traceback is printed, or only its location if it concerns one of many cases.
"""

import errno
from pathlib import Path
from traceback import extract_tb

UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
"""Errors of a disk that is full or not writable: not a bug, so no traceback is printed."""


class AutosegError(Exception):
    """Base class of all errors whose message is written for the user."""


class DatasetError(AutosegError):
    """The dataset on disk does not match its description."""


class CaseError(AutosegError):
    """One case cannot be read, prepared or predicted."""


class DocumentError(AutosegError):
    """A JSON document is missing, damaged or of another version."""


class PlanError(AutosegError):
    """No configuration fits, or an edited plan is not valid."""


class TrainingError(AutosegError):
    """Training cannot start, continue or be resumed."""


class Interrupted(AutosegError):  # noqa: N818  (not an error)
    """The user stopped the command; progress is saved and the same command resumes."""


class ModelError(AutosegError):
    """A trained model is missing, ambiguous or damaged."""


class MissingPackage(AutosegError):  # noqa: N818  (reads better than MissingPackageError)
    """An optional feature needs a package that is not installed."""


class ExtensionError(AutosegError):
    """An installed package provides a component that cannot be imported."""


class UnknownComponent(AutosegError):  # noqa: N818  (reads better than UnknownComponentError)
    """No registered component has this name."""


def disk_error_message(error: OSError) -> str | None:
    """Return the message for a disk that is full or not writable; None for other errors."""
    if error.errno not in UNWRITABLE:
        return None
    place = f"{error.filename}: " if error.filename else ""
    return (
        f"{place}{error.strerror}. Free some space, or choose a writable folder (--work for "
        "work folders). Finished work is kept; run the same command again to continue."
    )


def case_error_message(error: Exception) -> str:
    """Return the message for one case of several that failed.

    For unexpected errors, it holds the error's type and the line that raised it, for bug reports.
    """
    if isinstance(error, AutosegError):
        return str(error)
    frames = extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the error's type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
