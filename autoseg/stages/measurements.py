"""What was measured on this machine, kept in a cache for all datasets."""

import hashlib
from pathlib import Path
from typing import TypeVar

from autoseg.core.atomic_write import remove_leftovers
from autoseg.core.errors import DocumentError
from autoseg.core.frozen import Frozen
from autoseg.core.progress import Progress
from autoseg.documents import store

T = TypeVar("T", bound=Frozen)


def measurement_file(cache: Path, kind: str, identity: Frozen) -> Path:
    """Return the path of a measurement.

    Args:
        cache: The folder.
        kind: First word of the file's name.
        identity: What the measurement depends on.
    """
    digest = hashlib.sha256(identity.model_dump_json().encode()).hexdigest()[:16]
    return cache / f"{kind}-{digest}.json"


def kept(document: type[T], path: Path) -> T | None:
    """Return a measurement; None if it is missing or damaged."""
    try:
        return store.load(document, path, made_by="autoseg plan --remeasure")
    except (DocumentError, OSError):
        return None


def keep(measurement: Frozen, path: Path, progress: Progress) -> None:
    """Write a measurement; a cache that cannot be written costs the next command a new one."""
    try:
        store.save(measurement, path)
        remove_leftovers(path.parent)
    except OSError as error:
        progress.say(f"note: the measurement could not be kept in {path.parent} ({error.strerror})")
