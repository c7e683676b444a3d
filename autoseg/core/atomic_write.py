"""Write files and folders atomically, so that a reader never sees a partial one.

Temporary names are short and carry the process that writes them. The first write of a process into
a folder deletes the temporary files that killed processes left there. If a write fails and the disk
is the cause, an `OSError` with the final path is raised, whatever the writer's library raised.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from autoseg.core.disk import naming_disk_errors
from autoseg.core.errors import DocumentError
from autoseg.core.formatting import format_names
from autoseg.core.processes import ProcessId, this_process

PREFIX, PARTIAL_SUFFIX = ".autoseg_", ".partial"
"""Start and end of the temporary names of files and folders that are being written."""

TEMPORARY_NAME = re.compile(
    rf"{re.escape(PREFIX)}(?P<system>[0-9a-f]+)_(?P<pid>[0-9a-f]+)_(?P<started>[0-9a-f]+)_"
    rf"[0-9a-f]+{re.escape(PARTIAL_SUFFIX)}"
)

LEFTOVER_SECONDS = 3600.0
"""Age from which a temporary file or folder of another machine counts as a leftover."""

LONGEST_SUFFIX = 16
"""Length from which the end of a name after a dot is not a file extension."""


@contextmanager
def atomic_write(path: Path, *, num_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` at the end.

    The temporary name keeps the suffix (`….partial.nii.gz`), because writers choose the format by
    it. If the block fails, `path` is unchanged.

    Raises:
        DiskError: If the disk is full, read-only or fails; see `naming_disk_errors`.
    """
    with naming_disk_errors(path, num_bytes=num_bytes):
        suffixes = "".join(each for each in path.suffixes[-2:] if len(each) < LONGEST_SUFFIX)
        temporary = new_temporary_path(path.parent, suffixes)
    try:
        with naming_disk_errors(path, num_bytes=num_bytes):
            yield temporary
            _flush_to_disk(temporary)
            temporary.replace(path)
    finally:
        with suppress(OSError):  # the error of the block is more important
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, num_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary folder next to `path`, and rename it to `path` at the end.

    An existing `path` is renamed just before and deleted afterwards, so that a reader never sees it
    with only some of its files. It is not replaced unless it is a folder of files, of which one has
    the name of a new one: a link may have led to a folder of the user.

    Raises:
        DiskError: If the disk is full, read-only or fails; see `naming_disk_errors`.
        DocumentError: If an existing `path` is not replaced.
    """
    with naming_disk_errors(path, num_bytes=num_bytes):
        temporary, older = new_temporary_path(path.parent), new_temporary_path(path.parent)
        temporary.mkdir()
    try:
        with naming_disk_errors(path, num_bytes=num_bytes):
            yield temporary
            _check_replaceable(path, {entry.name for entry in temporary.iterdir()})
            with suppress(FileNotFoundError):
                path.rename(older)
            try:
                temporary.rename(path)
            except OSError:
                with suppress(OSError):  # another process may have renamed its folder to `path`
                    older.rename(path)
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(older, ignore_errors=True)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder next to `path`, deleted at the end or, after a kill, by the next command.

    Raises:
        DiskError: If the disk is full, read-only or fails; see `naming_disk_errors`.
    """
    with naming_disk_errors(path):
        folder = new_temporary_path(path.parent)
        folder.mkdir()
    try:
        with naming_disk_errors(path):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_replaceable(path: Path, names: set[str]) -> None:
    if not (path.is_symlink() or path.exists()):
        return
    entries = list(path.iterdir()) if path.is_dir() and not path.is_symlink() else None
    if entries is None:
        found = "is not a folder"
    elif others := sorted(entry.name for entry in entries if entry.is_dir()):
        found = f"holds the folders {format_names(others)}"
    elif entries and names.isdisjoint(entry.name for entry in entries):
        found = f"holds {format_names(sorted(entry.name for entry in entries))}"
    else:
        return
    raise DocumentError(
        f"{path} was to be replaced, but {found}; expected a folder with the files "
        f"{format_names(sorted(names))}. Move it away, and run the same command again."
    )


def remove_folder(path: Path, root: Path) -> None:
    """Delete a folder that autoseg wrote, if it exists.

    Args:
        path: The folder.
        root: The work folder that it is in.

    Raises:
        DocumentError: If it is outside of the work folder, because a link leads there.
    """
    if not (path.is_symlink() or path.exists()):
        return
    if path.is_symlink() or not path.resolve().is_relative_to(root.resolve()):
        raise DocumentError(
            f"{path} was to be deleted, but a link leads to {path.resolve()}, outside of the work "
            f"folder {root}. Delete it yourself, and run the same command again."
        )
    shutil.rmtree(path, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files and folders that ended processes left in a folder.

    Those of processes on other machines are deleted from the age `LEFTOVER_SECONDS` on.
    """
    for path in folder.glob(f"{PREFIX}*{PARTIAL_SUFFIX}*"):
        name = TEMPORARY_NAME.match(path.name)
        if name is None:
            continue
        with suppress(FileNotFoundError):  # another process has just finished or deleted it
            pid, started = int(name["pid"], 16), int(name["started"], 16)
            writer = ProcessId(system=name["system"], pid=pid, started=started)
            is_running = writer.is_running()
            if is_running is None:
                is_running = time.time() - _last_change(path) < LEFTOVER_SECONDS
            if is_running:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


@lru_cache(maxsize=1024)
def _remove_leftovers_once(folder: Path, process: int) -> None:  # noqa: ARG001  (part of the key)
    with suppress(OSError):  # cleaning must not prevent writing
        remove_leftovers(folder)


def _last_change(path: Path) -> float:
    return max(each.stat().st_mtime for each in (path, *path.glob("*")))


def new_temporary_path(folder: Path, suffixes: str = "") -> Path:
    """Return a path that no other writer uses, in a folder that is created and cleaned."""
    folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers_once(folder, os.getpid())
    own = this_process()
    identity = f"{own.system}_{own.pid:x}_{own.started:x}_{secrets.token_hex(4)}"
    return folder / f"{PREFIX}{identity}{PARTIAL_SUFFIX}{suffixes}"


def _flush_to_disk(path: Path) -> None:
    """Wait until the file is on disk, so that it is complete after a power cut."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
