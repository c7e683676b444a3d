"""Time the preparation of training batches: reading patches and augmenting them."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import numpy as np

from autoseg.benchmarking.target import Target
from autoseg.benchmarking.timing import time_row
from autoseg.core.errors import AutosegError
from autoseg.documents.bench import Throughput
from autoseg.training.loading import BatchDataset, BatchIndex

BATCHES = 4
"""Batches per repeat; more than one, because each patch gets random augmentations."""


def time_patches(target: Target) -> Throughput:
    """Time how fast one process reads batches of patches, without augmentation."""
    label = target.label(
        "patches",
        "batches",
        measured_is="drawing batches without augmentation, by one process",
        floor_is="a copy of the batch",
    )
    plain = without_augmentation(target.task().data)
    batch = plain.draw(BatchIndex("train", 0))
    images, labels = np.empty_like(batch.images), np.empty_like(batch.labels)

    def copy_arrays() -> None:
        for _ in range(BATCHES):
            np.copyto(images, batch.images)
            np.copyto(labels, batch.labels)

    return time_row(label, float(BATCHES), _drawing(plain), copy_arrays, target.time_limit)


def time_loader(target: Target) -> Throughput:
    """Time how fast one loader process prepares batches, including augmentation.

    If batches are augmented on the GPU, augmentation is part of the training step instead.
    """
    label = target.label(
        "loader",
        "batches",
        measured_is="all work of one loader process for a batch",
        floor_is="the same without augmentation",
    )
    data = target.task().data
    work, floor = _drawing(data), _drawing(without_augmentation(data))
    return time_row(label, float(BATCHES), work, floor, target.time_limit)


def without_augmentation(data: BatchDataset) -> BatchDataset:
    """Return the same batches without augmentation."""
    return replace(data, training=replace(data.training, augmentations=()))


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
