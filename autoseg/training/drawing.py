"""Draw training batches: which cases, which places, which random changes.

A batch is a function of (seed, stream, step) alone, so batches are the same on any number of
workers and after any interruption.
"""

import numpy as np
import torch

from autoseg.core.random import derived_seed, generator
from autoseg.preprocessing.storage import StoredCase
from autoseg.training.augmenting import augmented, one_thread
from autoseg.training.reading import CaseReader
from autoseg.training.regions import draw_places, read_regions
from autoseg.training.sampling import Batch, Choices, Positions, Sampling, UnaugmentedBatch


def draw_batch(cases: tuple[StoredCase, ...], sampling: Sampling, stream: str, step: int) -> Batch:
    """Return the batch of one step, augmented on the processor.

    Args:
        cases: Where to draw from, uniformly and with replacement.
        sampling: How.
        stream: "train" or "validation"; streams are independent.
        step: Which batch of the stream.

    Raises:
        CaseError: If a prepared case cannot be read.
    """
    return finished(draw_unaugmented(reader_of(cases, sampling), sampling, stream, step))


def reader_of(cases: tuple[StoredCase, ...], sampling: Sampling) -> CaseReader:
    """Return what reads all that patches need."""
    return CaseReader(cases, with_cascade_input=sampling.num_cascade_channels > 0)


def draw_unaugmented(
    reader: CaseReader, sampling: Sampling, stream: str, step: int
) -> UnaugmentedBatch:
    """Return the batch of one step before it is augmented.

    The augmentation is decided before anything is read, so that only as much is read as it needs.

    Args:
        reader: What is drawn from.
        sampling: How.
        stream: See `draw_batch`.
        step: See `draw_batch`.

    Raises:
        CaseError: If a prepared case cannot be read.
    """
    random = generator(sampling.seed, stream, step)
    chances = [entry.chance() for entry in sampling.augmentations]
    chosen = random.random((sampling.batch_size, len(chances))) < np.array(chances)
    places = draw_places(reader, sampling, random)
    regions = tuple(
        read_regions(reader, sampling, places, positions, first)
        for first, positions in _by_size(sampling, chosen)
    )
    seed = derived_seed(sampling.seed, "augmentation", stream, step)
    return UnaugmentedBatch(sampling=sampling, regions=regions, chosen=chosen, seed=seed)


def finished(unaugmented: UnaugmentedBatch) -> Batch:
    """Return a batch, augmented on the processor."""
    with one_thread():
        images, classes = augmented(unaugmented, torch.device("cpu"))
    labels = classes.numpy()
    measure = unaugmented.sampling.measure
    maps = None if measure is None else np.stack([measure.maps(label) for label in labels])
    return Batch(images=images.numpy(), labels=labels, maps=maps)


def _by_size(sampling: Sampling, chosen: Choices) -> list[tuple[int | None, Positions]]:
    """Return the patches of a batch by the first augmentation that needs more than the patch."""
    context = sampling.context
    left = np.ones(len(chosen), dtype=bool)
    groups: list[tuple[int | None, Positions]] = []
    for index, entry in enumerate(sampling.augmentations):
        if entry.loaded_shape(context) != context.patch_shape:
            groups.append((index, np.flatnonzero(left & chosen[:, index])))
            left &= ~chosen[:, index]
    groups.append((None, np.flatnonzero(left)))
    return [(first, positions) for first, positions in groups if len(positions)]
