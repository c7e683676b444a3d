"""A full disk, without one."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every file that Python opens for writing fail as on a full disk."""
    opened = Path.open

    def failing(path: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "w" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return opened(path, mode, *args, **options)

    monkeypatch.setattr(Path, "open", failing)


def failing_library(*_: object, **__: object) -> None:
    """Fail like a library that does not report the error of the disk."""
    raise RuntimeError("Error while creating the NDArray")
