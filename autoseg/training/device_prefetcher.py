"""Copy the next batch to a device while the device computes."""

from collections.abc import Iterator

import torch

from autoseg.training.sampling import Batch, UnaugmentedBatch
from autoseg.training.step import TensorBatch, batch_to_device


class DevicePrefetcher:
    """Batches on the device of the network, fetched ahead while the device computes.

    GPU operations are asynchronous until their result is read. Before that, the next batch is taken
    from its worker, and its copy and augmentation are queued. None of this synchronises: even the
    highest label, which rotations need, was computed in the worker.
    """

    def __init__(self, drawn: Iterator[Batch | UnaugmentedBatch], device: torch.device) -> None:
        """Start without a fetched batch.

        Args:
            drawn: Batches on the CPU, in order.
            device: Device of the network.
        """
        self._drawn = drawn
        self._device = device
        self._next: tuple[Batch | UnaugmentedBatch, TensorBatch] | None = None

    def fetch(self) -> None:
        """Fetch the next batch unless it has been fetched already."""
        self._next = self._next or self._load()

    def take(self) -> tuple[Batch | UnaugmentedBatch, TensorBatch]:
        """Return the next batch, as drawn and as tensors on the device."""
        batch, self._next = self._next or self._load(), None
        return batch

    def _load(self) -> tuple[Batch | UnaugmentedBatch, TensorBatch]:
        drawn = next(self._drawn)
        return drawn, batch_to_device(drawn, self._device)
