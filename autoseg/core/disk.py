"""Decide whether a failed write is an issue of the disk, whatever the writer's library raised.

blosc2, ITK, safetensors, Pillow and others report a full disk in exceptions of their own. After any
exception that does not tell, a test file is written next to the output: if that fails, the disk is
the cause.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from autoseg.core.errors import AutosegError, DiskError
from autoseg.core.formatting import format_megabytes

DISK_ERRORS = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EFBIG", "EIO", "ESTALE", "ENOTCONN"),
        *("EMFILE", "ENFILE", "ENOTDIR", "ELOOP", "ENODEV", "ENXIO"),
    )
    if hasattr(errno, name)
)
"""Errors that every further write into the same folder would raise, too."""

PROBE_BYTES = 16 * 2**20
"""Size of the test file. More than a library writes at a time, so that it does not fit either."""


@contextmanager
def naming_disk_errors(path: Path, *, num_bytes: int | None = None) -> Iterator[None]:
    """Raise a `DiskError` about `path` if a write in the block fails because of the disk.

    Args:
        path: The file or folder to be written; its parent is tested.
        num_bytes: Bytes that it may need; None if unknown.

    Raises:
        DiskError: If the disk is full, read-only or fails. Other exceptions are not changed.
    """
    try:
        yield
    except AutosegError:
        raise
    except DiskError as error:
        if _concerns(error, path):  # instead of a temporary name
            error.filename = str(path)
        raise
    except Exception as error:
        cause = error if isinstance(error, OSError) else None
        if cause is None or cause.errno is None:
            cause = _probe(path.parent)
        if cause and cause.errno in DISK_ERRORS and _concerns(cause, path):
            raise _disk_error(cause, path, num_bytes) from error
        raise


def _concerns(error: OSError, path: Path) -> bool:
    """Return True unless an error is about a path that neither contains `path` nor is next to it.

    A block may also read files from other folders, whose errors keep their paths.
    """
    if not error.filename:
        return True
    found = Path(os.fsdecode(error.filename))
    return path.parent in (found, *found.parents) or found in path.parents


def _probe(folder: Path) -> OSError | None:
    """Write a test file into a folder; return the error of the disk if that fails."""
    path = folder / f".autoseg_{secrets.token_hex(4)}.probe"
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(PROBE_BYTES // 2**20):
                if file.write(bytes(2**20)) != 2**20:  # the limit is inside of this block
                    file.write(bytes(2**20))
            os.fsync(file.fileno())
    except OSError as error:
        return error
    finally:
        with suppress(OSError):
            path.unlink()
    return None


def _disk_error(error: OSError, path: Path, num_bytes: int | None) -> DiskError:
    number = error.errno or errno.EIO
    details = [] if number not in {errno.ENOSPC, errno.EDQUOT} else [*_free_space(path)]
    if details and num_bytes:
        details.append(f"up to {_size(num_bytes)} needed")
    ending = f" ({', '.join(details)})" if details else ""
    return DiskError(number, f"{os.strerror(number)}{ending}", str(path))


def _free_space(path: Path) -> Iterator[str]:
    """Yield the free space at a path, which need not exist, and a note if no file can be added."""
    folder = next((each for each in (path, *path.absolute().parents) if each.is_dir()), None)
    if folder is None or not hasattr(os, "statvfs"):
        return
    with suppress(OSError):
        state = os.statvfs(folder)
        yield f"{_size(state.f_bavail * state.f_frsize)} free"
        if state.f_files and not state.f_favail:
            yield "no free inodes: too many files"


def _size(num_bytes: int) -> str:
    return format_megabytes(num_bytes) if num_bytes >= 1e6 else f"{num_bytes / 1e3:.0f} kB"
