"""Write files and folders atomically, so that a reader never sees a partial one."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
"""Suffix of files and folders that are being written; leftovers of a crash are never read."""

LEFTOVER_SECONDS = 3600.0
"""Age from which a partial file or folder counts as a leftover."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` at the end.

    The temporary name keeps the suffix (`case.partial.nii.gz`), because writers choose the format
    by it. If the block fails, `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    suffixes = "".join(path.suffixes[-2:])
    stem = path.name[: len(path.name) - len(suffixes)]
    temporary = path.with_name(f".{stem}.{_token()}{PARTIAL_SUFFIX}{suffixes}")
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `path`, and rename it to `path` at the end.

    An existing `path` is renamed just before and deleted afterwards, so that a reader never sees it
    with only some of its files.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    token = _token()
    temporary = path.with_name(f".{path.name}.{token}{PARTIAL_SUFFIX}")
    older = path.with_name(f".{path.name}.{token}.older{PARTIAL_SUFFIX}")
    temporary.mkdir()
    try:
        yield temporary
        with suppress(FileNotFoundError):
            path.rename(older)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete partial files and folders that killed processes left in a folder.

    Only those older than `LEFTOVER_SECONDS` are deleted: another process may still be writing newer
    ones.
    """
    for leftover in folder.glob(f".*{PARTIAL_SUFFIX}*"):
        try:
            if time.time() - leftover.stat().st_mtime < LEFTOVER_SECONDS:
                continue
        except FileNotFoundError:  # another process has just finished or deleted it
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _token() -> str:
    """Return a random part of a file name that no other writer uses.

    Process ids are not unique across containers and machines that share a disk.
    """
    return secrets.token_hex(4)


def _flush_to_disk(path: Path) -> None:
    """Wait until the file is on disk, so that it is complete after a power cut."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
