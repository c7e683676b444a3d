"""Time what prepares training batches: reading patches, and changing them at random."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

from autoseg.benchmarking.timing import Patience, Subject, in_turns, throughput
from autoseg.documents.bench import Throughput
from autoseg.training.loading import BatchDataset, Ticket

BATCHES = 4
"""Batches of one repeat; more than one, since chance decides which augmentations a patch gets."""


def patches(data: BatchDataset, configuration: str, patience: Patience) -> Throughput:
    """Return how fast one process reads the patches of a batch, unchanged."""
    subject = Subject(
        stage="patches",
        unit="batches",
        measured_is="drawing batches without augmentation, by one process",
        floor_is="a copy of the batch",
        configuration=configuration,
    )
    plain = without_augmentation(data)
    batch = plain.draw(Ticket("train", 0))

    def copy_arrays() -> None:
        for _ in range(BATCHES):
            batch.images.copy()
            batch.labels.copy()

    return throughput(in_turns(_drawing(plain), copy_arrays, patience), float(BATCHES), subject)


def augmentation(data: BatchDataset, configuration: str, patience: Patience) -> Throughput:
    """Return how fast one process makes batches as training gets them."""
    subject = Subject(
        stage="loader",
        unit="batches",
        measured_is="drawing and augmenting batches, by one process",
        floor_is="the same without augmentation",
        configuration=configuration,
    )
    pairs = in_turns(_drawing(data), _drawing(without_augmentation(data)), patience)
    return throughput(pairs, float(BATCHES), subject)


def without_augmentation(data: BatchDataset) -> BatchDataset:
    """Return the same batches, unchanged."""
    return replace(data, training=replace(data.training, augmentations=()))


def augmentation_share(row: Throughput) -> float:
    """Return the part of a loader's time that augmentation takes, in [0, 1)."""
    return max(0.0, 1 - 1 / row.ratio)


def _drawing(data: BatchDataset) -> Callable[[], None]:
    """Return what draws the next few batches at every call."""
    steps = count()

    def draw() -> None:
        for _ in range(BATCHES):
            data.draw(Ticket("train", next(steps)))

    return draw
