"""State of the files and folders that hold an image, to notice that it has changed."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from autoseg.readers.dicom_series import ENDINGS as DICOM_ENDINGS
from autoseg.readers.dicom_series import files_of_series
from autoseg.readers.names import ending_of, reader_for


def storage_of(path: Path) -> tuple[Path, ...]:
    """Return the files and folders on disk that hold an image, itself or its container first."""
    return reader_for(path).storage(path)


def storage_state(path: Path) -> tuple[int, int]:
    """Return size (bytes) and modification time (ns) of a file.

    Those of all files in a folder, and of all files of a DICOM series, are combined.

    Raises:
        OSError: If it does not exist.
    """
    state = path.stat()
    if path.is_dir():
        states = [entry.stat() for entry in files_in(path)]
    elif ending_of(path) in DICOM_ENDINGS:
        states = [file.stat() for file in files_of_series(path)]
    else:
        return state.st_size, state.st_mtime_ns
    return (
        sum(each.st_size for each in states),
        max((each.st_mtime_ns for each in states), default=state.st_mtime_ns),
    )


def stored_bytes(path: Path) -> int:
    """Return the size of the file or the folder that holds an image; 0 if it does not exist."""
    try:
        return storage_state(storage_of(path)[0])[0]
    except OSError:
        return 0


def storage_digest(path: Path) -> str:
    """Return the SHA-256 of a file.

    It is that of the names and contents of all files in a folder, or of a DICOM series.

    Raises:
        OSError: If it does not exist.
    """
    if path.is_dir():
        files = [Path(entry.path) for entry in files_in(path)]
        folder = path
    elif ending_of(path) in DICOM_ENDINGS and len(files_of_series(path)) > 1:
        files, folder = list(files_of_series(path)), path.parent
    else:
        return _digest(path)
    whole = hashlib.sha256()
    for inner in sorted(files):
        whole.update(f"{inner.relative_to(folder).as_posix()}\n{_digest(inner)}\n".encode())
    return whole.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_in(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files of a folder and its subfolders, in any order."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from files_in(Path(entry.path))
            else:
                yield entry
