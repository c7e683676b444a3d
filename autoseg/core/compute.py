"""Hardware that a command computes on."""

from dataclasses import dataclass
from pathlib import Path

from autoseg.core.device import Precision
from autoseg.core.parallel import default_workers


@dataclass(frozen=True)
class Compute:
    """Device, precision and processes of a command.

    Attributes:
        device: Name of the device; "auto" chooses a GPU if there is one.
        precision: Data type of the convolutions.
        workers: Number of background processes, at least 0; None depends on the machine.
        cache: Folder with measurements of this machine; None measures nothing.
    """

    device: str = "auto"
    precision: Precision = "auto"
    workers: int | None = None
    cache: Path | None = None

    @property
    def num_workers(self) -> int:
        """Requested number of processes, or the number of CPU cores."""
        return default_workers() if self.workers is None else self.workers
