"""Bring the next batch to an accelerator while it computes."""

from collections.abc import Iterator

import torch

from autoseg.training.sampling import Batch, UnaugmentedBatch
from autoseg.training.step import TensorBatch, batch_to_device


class DevicePrefetcher:
    """Batches where the network is, the next one brought there while the device still computes.

    An accelerator is told what to do, and does it later; whoever asks for a result waits. Reading
    the next batch from its worker and telling the device to copy and augment it are done before
    that. On a GPU none of this waits: even the highest label, which rotations need, was found
    where the batch was read.
    """

    def __init__(self, drawn: Iterator[Batch | UnaugmentedBatch], device: torch.device) -> None:
        """Begin with none.

        Args:
            drawn: In the order in which they are taken.
            device: Where they go.
        """
        self._drawn = drawn
        self._device = device
        self._next: tuple[Batch | UnaugmentedBatch, TensorBatch] | None = None

    def fetch(self) -> None:
        """Bring the next batch, unless it is there."""
        self._next = self._next or self._brought()

    def take(self) -> tuple[Batch | UnaugmentedBatch, TensorBatch]:
        """Return the next batch, as it was drawn and as the network gets it."""
        found, self._next = self._next or self._brought(), None
        return found

    def _brought(self) -> tuple[Batch | UnaugmentedBatch, TensorBatch]:
        drawn = next(self._drawn)
        return drawn, batch_to_device(drawn, self._device)
