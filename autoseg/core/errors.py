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
The command line prints only the message, also for an `OSError`, with the sentence in `ADVICE`. Any
other exception is a bug: its traceback is printed, or only its location if it concerns one of many
cases.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from traceback import extract_tb

ADVICE: dict[tuple[str, ...], str] = {
    ("ENOSPC", "EDQUOT"): (
        "Free some space, or choose a folder on another disk (--work for work folders)."
    ),
    ("EROFS", "EACCES", "EPERM"): (
        "Make it accessible, or choose a writable folder (--work for work folders)."
    ),
    ("EFBIG",): (
        "The file would be larger than the limit of the user (ulimit -f) or of the file system. "
        "Raise the limit, or choose a folder on another disk (--work for work folders)."
    ),
    ("EMFILE", "ENFILE"): (
        "Raise the limit of open files (ulimit -n 4096), use fewer workers (--workers 2), or close "
        "other programs."
    ),
    ("ENOMEM", "EAGAIN"): (
        "Close other programs, use fewer workers (--workers 1), or raise the limits of memory and "
        "processes (ulimit -v, ulimit -u)."
    ),
    ("EIO", "ENXIO", "ENODEV", "EREMOTEIO"): (
        "The disk or its connection fails. Check the messages of the system (dmesg), and copy the "
        "data to another disk."
    ),
    ("ESTALE", "ENOTCONN", "ETIMEDOUT", "EHOSTDOWN", "ENETUNREACH"): (
        "The network folder is gone. Mount it again, or choose another folder."
    ),
    ("ENOTDIR",): "A part of this path is a file; expected folders. Choose another path.",
    ("EISDIR",): "Expected a file. Move the folder away, or choose another path.",
    ("ELOOP",): "Symbolic links form a loop. Correct them, or choose another path.",
    ("ENAMETOOLONG",): "Shorten the names of files, cases or folders (at most 255 bytes each).",
    ("EBUSY", "ETXTBSY"): "Another program uses it. Close that program, or choose another path.",
    ("EEXIST", "ENOTEMPTY"): (
        "A file is where a folder is expected, or another command writes there at the same time. "
        "Move the file away, wait for that command, or choose another path."
    ),
    ("ENOENT",): "Check the path, and that nothing deletes files while the command runs.",
    ("EPIPE",): "The program that read the output has ended.",
    ("EINVAL", "EOPNOTSUPP", "ENOSYS", "ENOLCK", "EXDEV"): (
        "The file system cannot do this. Choose a folder on another disk (--work for work folders)."
    ),
}
"""What to do about an error of the system, by the names of its numbers in `errno`."""

AFFECTS_ALL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE})
"""Errors that all other cases would raise, too, wherever they occur."""

KEEPING = AFFECTS_ALL | {errno.EIO, errno.EFBIG, errno.ESTALE}
"""Errors that may occur in the middle of a command."""

KEPT = "Finished work is kept; run the same command again to continue."

SMALL_BYTES = 2**20
"""Free space below which a folder of temporary files counts as full."""

LONGEST_PATH = 200
"""Maximum length of a path in a message, characters."""


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


class DiskError(OSError):
    """A file cannot be written because of the disk; further files there cannot be, either."""


def affects_all(error: BaseException) -> bool:
    """Return True for an error of the disk or system that all other cases would raise, too."""
    return isinstance(error, DiskError) or (
        isinstance(error, OSError) and error.errno in AFFECTS_ALL
    )


def system_error(error: BaseException) -> OSError | None:
    """Return the error of the system that an exception is or stands for; None for others.

    Before Python 3.13, `Path.resolve` raises a RuntimeError for a loop of symbolic links.
    """
    context = error.__context__ if isinstance(error, RuntimeError) else None
    if isinstance(context, OSError) and context.errno == errno.ELOOP:
        return context
    return error if isinstance(error, OSError) else None


def os_error_message(error: OSError) -> str:
    """Return the message for an error of the system: path, finding and advice."""
    if error.errno is None or not error.strerror:
        return _unexpected(error)
    if "temporary directory" in error.strerror:  # of `tempfile`, which does not tell why
        return f"{error.strerror}. Free some space in one of them, or set TMPDIR to another folder."
    name = errno.errorcode.get(error.errno, "")
    advice = next((text for names, text in ADVICE.items() if name in names), "Check the disk.")
    places = [_shortened(str(error.filename))] if error.filename else []
    if not places and error.errno == errno.ENOSPC:
        places = list(_full_folders())
    place = f"{' and '.join(places)}: " if places else ""
    return f"{place}{error.strerror}. {advice} {KEPT if error.errno in KEEPING else ''}".rstrip()


def _shortened(path: str) -> str:
    return path if len(path) <= LONGEST_PATH else f"{path[:LONGEST_PATH]} …"


def _full_folders() -> Iterator[str]:
    """Yield the full folders of temporary files, for errors of libraries that name none."""
    folders = [os.curdir, "/dev/shm"]
    with suppress(OSError):  # `tempfile` finds no writable folder
        folders.insert(1, tempfile.gettempdir())
    for folder in folders:
        with suppress(OSError):
            if shutil.disk_usage(folder).free < SMALL_BYTES:
                yield folder


def case_error_message(error: Exception) -> str:
    """Return the message for one case of several that failed.

    For unexpected errors, it holds the error's type and the line that raised it, for bug reports.
    """
    if isinstance(error, AutosegError):
        return str(error)
    cause = system_error(error)
    return _unexpected(error) if cause is None else os_error_message(cause)


def _unexpected(error: Exception) -> str:
    frames = extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the error's type if it has no message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
