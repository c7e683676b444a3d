"""Measure the memory that a training needs."""

import torch

from autoseg.core.memory import BYTES_PER_GIB, ResidentPeak


class PeakMemory:
    """Measures from now on: tensors on a GPU, or this process on the CPU.

    Args:
        device: Device of the training.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._resident = ResidentPeak() if device.type == "cpu" else None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    @property
    def gib(self) -> float | None:
        """Peak memory, GiB; on the CPU, beyond that at the start. None if unknown."""
        peak = None if self._resident is None else self._resident.added_bytes
        if self._device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(self._device)
        return None if peak is None else peak / BYTES_PER_GIB
