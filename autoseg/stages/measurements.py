"""Cache of measurements of this machine, shared by all datasets."""

import hashlib
from pathlib import Path
from typing import TypeVar

from autoseg.core.frozen import Frozen
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.document import Document

T = TypeVar("T", bound=Document)


def measurement_file(cache: Path, kind: str, identity: Frozen) -> Path:
    """Return the path of a measurement in the cache.

    Args:
        cache: Cache folder.
        kind: Prefix of the file name.
        identity: Everything that the measurement depends on; hashed into the file name.
    """
    digest = hashlib.sha256(identity.model_dump_json().encode()).hexdigest()[:16]
    return cache / f"{kind}-{digest}.json"


def load_measurement(kind: type[T], path: Path) -> T | None:
    """Load a measurement from the cache; None if it is missing, unreadable or not valid."""
    try:
        return store.load_if_valid(kind, path)
    except OSError:
        return None


def save_measurement(measurement: Frozen, path: Path, progress: Progress) -> None:
    """Save a measurement in the cache; if that fails, report it and continue.

    Args:
        measurement: The measurement.
        path: File to write.
        progress: Receives a note if the file cannot be written.
    """
    try:
        store.save(measurement, path)
    except OSError as error:
        progress.say(
            f"note: the measurement could not be saved in {path.parent} ({error.strerror})"
        )
