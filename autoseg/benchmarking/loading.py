"""Time the preparation of training batches: reading patches and augmenting them."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np

from autoseg.benchmarking.timing import RowLabel, TimeLimit, throughput, time_alternately
from autoseg.core.errors import AutosegError
from autoseg.documents.bench import Throughput
from autoseg.training.loading import BatchDataset, BatchIndex
from autoseg.training.reading import KEPT_BYTES

BATCHES = 4
"""Batches per repeat; more than one, because each patch gets random augmentations."""


def time_patches(data: BatchDataset, configuration: str, time_limit: TimeLimit) -> Throughput:
    """Time how fast one process reads batches of patches, without augmentation.

    Args:
        data: Training batches.
        configuration: Name of the configuration.
        time_limit: Time limit of the row.
    """
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

    return throughput(
        time_alternately(_drawing(plain), copy_arrays, time_limit), float(BATCHES), label
    )


def time_loader(data: BatchDataset, configuration: str, time_limit: TimeLimit) -> Throughput:
    """Time how fast one loader process prepares batches, including augmentation.

    If batches are augmented on the GPU, augmentation is part of the training step instead.

    Args:
        data: Training batches.
        configuration: Name of the configuration.
        time_limit: Time limit of the row.
    """
    label = RowLabel(
        stage="loader",
        unit="batches",
        measured_is="all work of one loader process for a batch",
        floor_is="the same without augmentation",
        configuration=configuration,
    )
    pairs = time_alternately(_drawing(data), _drawing(without_augmentation(data)), time_limit)
    return throughput(pairs, float(BATCHES), label)


def without_augmentation(data: BatchDataset) -> BatchDataset:
    """Return the same batches without augmentation."""
    return replace(data, training=replace(data.training, augmentations=()))


def names_like_a_fold(names: tuple[str, ...], total_bytes: int, num_cases: int) -> tuple[str, ...]:
    """Repeat case names until the cases fit into the loader's memory only if a whole fold would.

    Args:
        names: Names of the measured cases.
        total_bytes: Bytes of their prepared images and labels.
        num_cases: Number of cases of the dataset.
    """
    if total_bytes / len(names) * num_cases <= KEPT_BYTES:
        return names
    return names * (KEPT_BYTES // total_bytes + 1)


def augmentation_share(row: Throughput) -> float:
    """Return the share of the loader's time that augmentation takes, in [0, 1)."""
    return max(0.0, 1 - 1 / row.ratio)


def _drawing(data: BatchDataset) -> Callable[[], None]:
    """Return a function that draws the next few batches on every call."""
    steps = count()

    def draw() -> None:
        for _ in range(BATCHES):
            batch = data[BatchIndex("train", next(steps))]
            if isinstance(batch, AutosegError):
                raise batch

    return draw
