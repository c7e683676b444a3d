"""Open a model file that may have been made by anyone, and refuse it unless it is plain.

All of this happens before any content is read: what is refused here has cost neither memory nor
time, however large it claims to be. Nothing is ever extracted to disk.
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
from autoseg.inference.archive.contents import (
    LARGEST_DIRECTORY_BYTES,
    MANIFEST_NAME,
    MOST_PARTS,
    SUFFIX,
    largest_bytes,
)

END = struct.Struct("<4s4H2LH")
"""A zip's end record: signature, disks, entries, directory size and start, comment length."""

END64_LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
"""Their 64-bit companions, just before the end record. Source: PKWARE APPNOTE 6.3.10, §4.3."""

ENCRYPTED = 0x1


def refused(path: Path, found: str) -> ModelError:
    """Return the error for a file that cannot be trusted."""
    return ModelError(
        f"{path} is not a valid model file: {found}. Copy it again from where it came, or make it "
        f"again with `autoseg export`. Expected is what that command writes (*{SUFFIX})."
    )


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Give the zip of a model file, its list of entries checked.

    Raises:
        ModelError: If it is no zip, is cut off, or has an entry that a model file never has.
    """
    try:
        with path.open("rb") as file:
            _check_end(file, path)
            with zipfile.ZipFile(file) as archive:
                _check_entries(archive.infolist(), path.stat().st_size, path)
                yield archive
    except (zipfile.BadZipFile, NotImplementedError, UnicodeError, EOFError) as error:
        raise refused(path, f"it is damaged ({error})") from error
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror or error}). Check the path and the disk."
        raise ModelError(msg) from error


def _check_end(file: BinaryIO, path: Path) -> None:
    """Check that the file ends as a zip does, and that its list of entries is short.

    Raises:
        ModelError: If not; zipfile would read a list of any length into memory.
    """
    size = file.seek(0, 2)
    if file.seek(0) == 0 and file.read(2) != b"PK":
        raise refused(path, "it is not a zip")
    tail = _read_at(file, size - END.size, END.size)
    if len(tail) < END.size or tail[:4] != b"PK\x05\x06":
        raise refused(path, "its end is missing; it was cut off, or something was appended")
    _, _, _, _, entries, directory, _, _ = END.unpack(tail)
    _check_length(entries, directory, path)
    locator = _read_at(file, size - END.size - END64_LOCATOR.size, END64_LOCATOR.size)
    if locator[:4] == b"PK\x06\x07":
        _check_end64(file, locator, size - END.size - END64_LOCATOR.size - END64.size, path)


def _check_end64(file: BinaryIO, locator: bytes, expected: int, path: Path) -> None:
    _, _, start, _ = END64_LOCATOR.unpack(locator)
    record = _read_at(file, start, END64.size) if start == expected else b""
    if len(record) < END64.size or record[:4] != b"PK\x06\x06":
        raise refused(path, "its end is damaged")
    fields = END64.unpack(record)
    _check_length(fields[7], fields[8], path)


def _check_length(entries: int, directory_bytes: int, path: Path) -> None:
    if entries > MOST_PARTS or directory_bytes > LARGEST_DIRECTORY_BYTES:
        raise refused(
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
    """Check every entry's name, kind and declared size.

    Raises:
        ModelError: On the first entry that a model file never has.
    """
    twice = [name for name, count in Counter(e.filename for e in entries).items() if count > 1]
    if twice:
        raise refused(path, f"it has two entries named {_shown(twice[0])}")
    for entry in entries:
        issue = _issue(entry)
        if issue:
            raise refused(path, f"its entry {_shown(entry.orig_filename)} {issue}")
    total = sum(entry.file_size for entry in entries)
    if total > size:
        raise refused(path, f"its entries claim {total} bytes, but the file has only {size}")
    if MANIFEST_NAME not in {entry.filename for entry in entries}:
        raise refused(path, f"it has no {MANIFEST_NAME}")


def _issue(entry: zipfile.ZipInfo) -> str | None:
    """Return what is wrong with an entry, as the end of a sentence, or None."""
    name = entry.orig_filename
    limit = largest_bytes(name)
    if _leads_elsewhere(name):
        return "names a place outside of the model"
    if not _is_regular(entry):
        return "is a link or another special file"
    if limit is None or name != entry.filename:
        return "is not a part of a model"
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        return (
            f"is compressed ({entry.compress_size} bytes that claim to become {entry.file_size}); "
            "parts of a model never are"
        )
    return _issue_of_size(entry, limit)


def _issue_of_size(entry: zipfile.ZipInfo, limit: int) -> str | None:
    if entry.flag_bits & ENCRYPTED:
        return "is encrypted"
    if entry.file_size > limit:
        return f"has {entry.file_size} bytes; at most {limit} are accepted"
    return None


def _leads_elsewhere(name: str) -> bool:
    """Return whether a name would leave the folder that it were extracted to, on any system."""
    windows = PureWindowsPath(name)
    return windows.is_absolute() or bool(windows.drive or windows.root) or ".." in windows.parts


def _is_regular(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind in (0, stat.S_IFREG)


def _shown(name: str) -> str:
    """Return a stranger's text so that it cannot play tricks on a terminal."""
    return ascii(name[:80])
