"""Time what prepares training batches: reading patches, and changing them at random."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np

from autoseg.benchmarking.timing import RowLabel, TimeLimit, in_turns, throughput
from autoseg.core.errors import AutosegError
from autoseg.documents.bench import Throughput
from autoseg.training.loading import BatchDataset, BatchIndex
from autoseg.training.reading import KEPT_BYTES

BATCHES = 4
"""Batches of one repeat; more than one, since chance decides which augmentations a patch gets."""


def patches(data: BatchDataset, configuration: str, time_limit: TimeLimit) -> Throughput:
    """Return how fast one process reads the patches of a batch, unchanged."""
    label = RowLabel(
        stage="patches",
        unit="batches",
        measured_is="drawing batches without augmentation, by one process",
        floor_is="a copy of the batch",
        configuration=configuration,
    )
    plain = without_augmentation(data)
    batch = plain.draw(BatchIndex("train", 0))
    images, labels = np.empty_like(batch.images), np.empty_like(batch.labels)

    def copy_arrays() -> None:
        for _ in range(BATCHES):
            np.copyto(images, batch.images)
            np.copyto(labels, batch.labels)

    return throughput(in_turns(_drawing(plain), copy_arrays, time_limit), float(BATCHES), label)


def augmentation(data: BatchDataset, configuration: str, time_limit: TimeLimit) -> Throughput:
    """Return how fast a loader process makes batches.

    Where a device augments them itself, that is a part of the training step and not of this.
    """
    label = RowLabel(
        stage="loader",
        unit="batches",
        measured_is="all that one loader process does for a batch",
        floor_is="the same without augmentation",
        configuration=configuration,
    )
    pairs = in_turns(_drawing(data), _drawing(without_augmentation(data)), time_limit)
    return throughput(pairs, float(BATCHES), label)


def without_augmentation(data: BatchDataset) -> BatchDataset:
    """Return the same batches, unchanged."""
    return replace(data, training=replace(data.training, augmentations=()))


def names_like_a_fold(names: tuple[str, ...], total_bytes: int, num_cases: int) -> tuple[str, ...]:
    """Return the cases to draw from: so often that they are kept in memory only if a fold would be.

    Args:
        names: Of the cases measured.
        total_bytes: Of their prepared images and labels.
        num_cases: How many cases the dataset has.
    """
    if total_bytes / len(names) * num_cases <= KEPT_BYTES:
        return names
    return names * (KEPT_BYTES // total_bytes + 1)


def augmentation_share(row: Throughput) -> float:
    """Return the part of a loader's time that augmentation takes, in [0, 1)."""
    return max(0.0, 1 - 1 / row.ratio)


def _drawing(data: BatchDataset) -> Callable[[], None]:
    """Return what draws the next few batches at every call."""
    steps = count()

    def draw() -> None:
        for _ in range(BATCHES):
            batch = data[BatchIndex("train", next(steps))]
            if isinstance(batch, AutosegError):
                raise batch

    return draw
