"""Open an untrusted model file, and reject it unless all its entries are expected ones.

The checks run before any content is read. A rejected file therefore costs neither memory nor time,
whatever sizes it declares. Nothing is ever extracted to disk.
"""

import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from typing import BinaryIO

from autoseg.core.errors import ModelError
from autoseg.models.archive.contents import (
    LARGEST_DIRECTORY_BYTES,
    MANIFEST_NAME,
    MOST_PARTS,
    SUFFIX,
    largest_bytes,
)

END = struct.Struct("<4s4H2LH")
"""End-of-central-directory record: signature, disks, entries, directory size and start, comment
length."""

END64_LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
"""The zip64 locator and end record, just before it. Source: PKWARE APPNOTE 6.3.10, §4.3."""

ENCRYPTED = 0x1
"""Flag bit of an encrypted entry."""


def invalid_file_error(path: Path, found: str) -> ModelError:
    """Build the error for an invalid model file.

    Args:
        path: The model file.
        found: The problem, as a clause without a full stop.
    """
    return ModelError(
        f"{path} is not a valid model file: {found}. Expected a file written by `autoseg export` "
        f"(*{SUFFIX}). Copy it again from its source, or export it again."
    )


@contextmanager
def open_checked_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open the zip of a model file after checking its list of entries.

    Raises:
        ModelError: If the file is not a zip, is truncated, or has an unexpected entry.
    """
    try:
        with path.open("rb") as file:
            _check_end(file, path)
            with zipfile.ZipFile(file) as archive:
                _check_entries(archive.infolist(), path.stat().st_size, path)
                yield archive
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, EOFError) as error:
        raise invalid_file_error(path, f"it is damaged ({error})") from error
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror or error}). Check the path and the disk."
        raise ModelError(msg) from error


def _check_end(file: BinaryIO, path: Path) -> None:
    """Check the end of the zip, and that `zipfile` will not read an overlong list of entries."""
    size = file.seek(0, 2)
    if _read_at(file, 0, 2) != b"PK":
        raise invalid_file_error(path, "it is not a zip")
    tail = _read_at(file, size - END.size, END.size)
    if len(tail) < END.size or tail[:4] != b"PK\x05\x06":
        raise invalid_file_error(path, "its end is missing; it was cut off, or data was appended")
    _, _, _, _, entries, directory, _, _ = END.unpack(tail)
    _check_length(entries, directory, path)
    locator = _read_at(file, size - END.size - END64_LOCATOR.size, END64_LOCATOR.size)
    if locator[:4] == b"PK\x06\x07":
        _check_end64(file, locator, size - END.size - END64_LOCATOR.size - END64.size, path)


def _check_end64(file: BinaryIO, locator: bytes, expected: int, path: Path) -> None:
    _, _, start, _ = END64_LOCATOR.unpack(locator)
    record = _read_at(file, start, END64.size) if start == expected else b""
    if len(record) < END64.size or record[:4] != b"PK\x06\x06":
        raise invalid_file_error(path, "its end is damaged")
    fields = END64.unpack(record)
    _check_length(fields[7], fields[8], path)


def _check_length(entries: int, directory_bytes: int, path: Path) -> None:
    if entries > MOST_PARTS or directory_bytes > LARGEST_DIRECTORY_BYTES:
        raise invalid_file_error(
            path,
            f"it lists {entries} entries in {directory_bytes} bytes; expected at most "
            f"{MOST_PARTS} in {LARGEST_DIRECTORY_BYTES}",
        )


def _read_at(file: BinaryIO, start: int, count: int) -> bytes:
    if start < 0:
        return b""
    file.seek(start)
    return file.read(count)


def _check_entries(entries: list[zipfile.ZipInfo], size: int, path: Path) -> None:
    """Check name, kind and declared size of every entry."""
    counts = Counter(entry.filename for entry in entries)
    duplicates = [name for name, count in counts.items() if count > 1]
    if duplicates:
        raise invalid_file_error(path, f"it has two entries named {_escaped(duplicates[0])}")
    for entry in entries:
        if issue := _issue(entry):
            raise invalid_file_error(path, f"its entry {_escaped(entry.orig_filename)} {issue}")
    total = sum(entry.file_size for entry in entries)
    if total > size:
        raise invalid_file_error(
            path, f"its entries declare {total} bytes, but the file has only {size}"
        )
    if MANIFEST_NAME not in {entry.filename for entry in entries}:
        raise invalid_file_error(path, f"it has no {MANIFEST_NAME}")


def _issue(entry: zipfile.ZipInfo) -> str | None:
    """Return the problem with an entry, as the end of a sentence, or None."""
    name = entry.orig_filename
    limit = largest_bytes(name)
    if _leads_elsewhere(name):
        return "has a path outside of the model"
    if not _is_regular(entry):
        return "is a link or another special file"
    if limit is None or name != entry.filename:
        return "does not belong in a model file"
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return (
            f"is compressed ({entry.compress_size} bytes that expand to {entry.file_size}); model "
            "files are stored without compression"
        )
    return _size_issue(entry, limit)


def _size_issue(entry: zipfile.ZipInfo, limit: int) -> str | None:
    if entry.flag_bits & ENCRYPTED:
        return "is encrypted"
    if entry.file_size > limit:
        return f"has {entry.file_size} bytes; at most {limit} are allowed"
    return None


def _leads_elsewhere(name: str) -> bool:
    """Return True if extracting the name would leave the target folder on any system."""
    windows = PureWindowsPath(name)
    return windows.is_absolute() or bool(windows.drive or windows.root) or ".." in windows.parts


def _is_regular(entry: zipfile.ZipInfo) -> bool:
    return stat.S_IFMT(entry.external_attr >> 16) in (0, stat.S_IFREG)


def _escaped(name: str) -> str:
    """Escape an untrusted name for the terminal."""
    return ascii(name[:80])
