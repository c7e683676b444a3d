"""Draw training batches: cases, patch positions and augmentations.

A batch depends on (seed, stream, step) alone, so that batches are the same with any number of
workers and after an interruption.
"""

import numpy as np
import torch

from autoseg.core.random import derived_seed, generator
from autoseg.preprocessing.storage import StoredCase
from autoseg.training.augmenting import augmented, one_thread
from autoseg.training.reading import CaseReader
from autoseg.training.regions import draw_places, read_regions
from autoseg.training.sampling import Batch, Choices, Positions, Sampling, UnaugmentedBatch


def reader_of(cases: tuple[StoredCase, ...], sampling: Sampling) -> CaseReader:
    """Create the reader of cases, with the cascade input if it is needed."""
    return CaseReader(cases, with_cascade_input=sampling.num_cascade_channels > 0)


def draw_unaugmented(
    reader: CaseReader, sampling: Sampling, stream: str, step: int
) -> UnaugmentedBatch:
    """Draw the batch of one step without augmenting it.

    Augmentations are chosen before reading, so that only the regions that they need are read.

    Args:
        reader: Reader of the cases to draw from, uniformly and with replacement.
        sampling: Sampling parameters.
        stream: "train" or "validation"; streams are independent.
        step: Index of the batch in the stream.

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


def augment_on_cpu(unaugmented: UnaugmentedBatch) -> Batch:
    """Augment a batch on the CPU and compute its distance maps if the loss needs them."""
    with one_thread():
        images, classes = augmented(unaugmented, torch.device("cpu"))
    labels = classes.numpy()
    mapper = unaugmented.sampling.distance_mapper
    maps = None if mapper is None else np.stack([mapper.maps(label) for label in labels])
    return Batch(images=images.numpy(), labels=labels, maps=maps)


def _by_size(sampling: Sampling, chosen: Choices) -> list[tuple[int | None, Positions]]:
    """Group the patches of a batch by the first augmentation that needs a larger region."""
    context = sampling.context
    remaining = np.ones(len(chosen), dtype=bool)
    groups: list[tuple[int | None, Positions]] = []
    for index, entry in enumerate(sampling.augmentations):
        if entry.loaded_shape(context) != context.patch_shape:
            groups.append((index, np.flatnonzero(remaining & chosen[:, index])))
            remaining &= ~chosen[:, index]
    groups.append((None, np.flatnonzero(remaining)))
    return [(first, positions) for first, positions in groups if len(positions)]
