"""Write whole files and folders or nothing: a reader never sees one half-written."""

import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
"""Ends the name of whatever is being written; such leftovers of a crash are never read."""

LEFTOVER_SECONDS = 3600.0
"""Age from which something half-written counts as a leftover."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, and move what was written there onto `path` at the end.

    The temporary name keeps the suffix (`case.partial.nii.gz`), because writers go by it. If the
    block fails, `path` stays as it was.
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
    """Give a temporary folder beside `path`, and rename it to `path` at the end.

    An older `path` is moved aside just before the rename and deleted after it, so that it is never
    seen with a part of its files.
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
    """Delete what killed processes left half-written in a folder.

    Only what is older than `LEFTOVER_SECONDS` goes: another process may be writing the rest now.
    """
    for leftover in folder.glob(f".*{PARTIAL_SUFFIX}*"):
        try:
            if time.time() - leftover.stat().st_mtime < LEFTOVER_SECONDS:
                continue
        except FileNotFoundError:  # another process has finished it
            continue
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _token() -> str:
    """Return a part of a name that no other writer has.

    Process numbers do: on other machines that share the disk, and in containers.
    """
    return secrets.token_hex(4)


def _flush_to_disk(path: Path) -> None:
    """Wait until the file is on disk, so that a power cut after the rename finds it whole."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
