"""Unpack zip files of strangers: only plain files, into one folder, up to a size."""

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from autoseg.core.errors import CaseError
from autoseg.serving.settings import MEGABYTE, Limits

CHUNK_BYTES = 2**20

LONGEST_NAME = 200
"""Greatest length of a part of a path in bytes; file systems allow 255."""

MOST_FOLDERS = 16
"""Greatest depth of folders."""


class TooLarge(CaseError):  # noqa: N818  (reads better than TooLargeError)
    """An upload exceeds a limit."""


def unpack(path: Path, folder: Path, limits: Limits) -> None:
    """Unpack a zip file into a new folder.

    Files that macOS adds (`__MACOSX`, `._NAME`, `.DS_Store`) are left out.

    Args:
        path: The zip file.
        folder: The folder to create.
        limits: Limits of the number and the size of its files.

    Raises:
        TooLarge: If the file exceeds a limit.
        CaseError: If it is damaged or encrypted, or has a path that leads out of the folder, a
            link, or a name twice.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_sizes(entries, limits)
            files = [entry for entry in entries if not entry.is_dir() and not _is_of_macos(entry)]
            targets = [folder / safe_name(entry.filename) for entry in files]
            for entry in files:
                _check_kind(entry)
            if len({str(target).casefold() for target in targets}) < len(targets):
                raise CaseError("the zip file has a name twice. Pack its files again.")
            folder.mkdir()
            left = limits.unpacked_bytes
            for entry, target in zip(files, targets, strict=True):
                target.parent.mkdir(parents=True, exist_ok=True)
                left -= _extract(archive, entry, target, left)
    except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
        msg = "the zip file is damaged or of an unknown kind. Pack its files again."
        raise CaseError(msg) from error
    except (FileExistsError, NotADirectoryError) as error:
        msg = "the zip file has a folder with the name of a file. Pack its files again."
        raise CaseError(msg) from error


def _check_sizes(entries: list[zipfile.ZipInfo], limits: Limits) -> None:
    if len(entries) > limits.entries:
        raise TooLarge(
            f"the zip file has {len(entries)} entries; expected at most {limits.entries}. Pack "
            "only the image."
        )
    total = sum(entry.file_size for entry in entries)
    if total > limits.unpacked_bytes:
        raise TooLarge(
            f"the zip file has {total / MEGABYTE:.0f} MB of contents; expected at most "
            f"{limits.unpacked_bytes / MEGABYTE:.0f} MB. Pack only the image."
        )


def _check_kind(entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise CaseError("the zip file has a link or a device; expected files. Pack the files.")
    if entry.flag_bits & 0x1:
        raise CaseError("the zip file is encrypted. Pack it without a password.")


def _is_of_macos(entry: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(entry.filename)
    return path.name == ".DS_Store" or path.name.startswith("._") or "__MACOSX" in path.parts


def safe_name(name: str) -> PurePosixPath:
    """Return a relative path that stays in its folder.

    Raises:
        CaseError: If the name does not.
    """
    path = PurePosixPath(name)
    is_safe = (
        bool(path.parts)
        and not path.is_absolute()
        and ".." not in path.parts
        and name.isprintable()
        and not set(name) & set("\\:")
        and len(path.parts) <= MOST_FOLDERS
        and all(len(part.encode(errors="replace")) <= LONGEST_NAME for part in path.parts)
    )
    if not is_safe:
        raise CaseError(
            "a file has a name that leads out of its folder, or is too long, or has a backslash, a "
            "colon or an unprintable character. Rename it."
        )
    return path


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most: int) -> int:
    """Write a file; return its size, which may differ from the size in the table of contents."""
    size = 0
    with archive.open(entry) as source, target.open("xb") as file:
        while chunk := source.read(CHUNK_BYTES):
            size += len(chunk)
            if size > most:
                raise TooLarge("the zip file has more contents than it lists. Pack it again.")
            file.write(chunk)
    return size
