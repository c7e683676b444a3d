"""Choose the positions of patches, read their regions and pad them outside the image.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule" (oversampling).
"""

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from autoseg.core.arrays import VoxelList
from autoseg.training.augmenting import highest_value
from autoseg.training.reading import Box, CaseReader
from autoseg.training.sampling import Positions, Regions, Sampling


@dataclass(frozen=True)
class Place:
    """Position of a patch.

    Attributes:
        case: Index of the case.
        centre: Centre voxel of the patch.
    """

    case: int
    centre: tuple[int, ...]


def draw_places(reader: CaseReader, sampling: Sampling, random: np.random.Generator) -> list[Place]:
    """Draw the position of each patch of a batch; the last ones are centred on foreground.

    Args:
        reader: Reader of the cases to draw from.
        sampling: Sampling parameters.
        random: Random generator.
    """
    plain = round(sampling.batch_size * (1 - sampling.foreground_fraction))
    num_axes = len(reader.cases[0].shape)
    drawn = random.random((sampling.batch_size, 3 + num_axes)).tolist()
    return [
        _place(reader, sampling, numbers, on_foreground=sample >= plain)
        for sample, numbers in enumerate(drawn)
    ]


def _place(
    reader: CaseReader, sampling: Sampling, drawn: list[float], *, on_foreground: bool
) -> Place:
    """Choose the position of one patch, which may be centred on a voxel of a target.

    The numbers drawn from [0, 1) choose the case, the target, the voxel, and the position along
    each axis.
    """
    index = int(drawn[0] * len(reader.cases))
    voxels = _centres(reader, index, sampling, drawn[1], on_foreground=on_foreground)
    target = None if voxels is None else voxels[int(drawn[2] * len(voxels))].tolist()
    if target is not None:
        reader.cases[index].check_inside(target)
    shape = reader.cases[index].shape
    patch = (1,) * (len(shape) - len(sampling.patch_shape)) + sampling.patch_shape
    centre = []
    for axis, (size, edge) in enumerate(zip(shape, patch, strict=True)):
        lowest, highest = edge // 2, size - (edge - edge // 2)
        if size < edge:
            centre.append(size // 2)
        elif target is None:
            centre.append(lowest + int(drawn[3 + axis] * (highest - lowest + 1)))
        else:  # moved so that the patch is inside the image
            centre.append(min(max(target[axis], lowest), highest))
    return Place(index, tuple(centre))


def _centres(
    reader: CaseReader, index: int, sampling: Sampling, drawn: float, *, on_foreground: bool
) -> VoxelList | None:
    """Return the voxels to choose the centre from; None if it may be anywhere.

    On foreground, these are the voxels of one target, chosen by a random number in [0, 1).

    If the dataset has ignored voxels, other patches are centred on an annotated voxel, because
    random patches of sparsely annotated images would contain hardly any annotation.
    """
    if not on_foreground and sampling.ignored_index is None:
        return None
    annotated, *targets = reader.foreground(index)
    present = [at for at, voxels in enumerate(targets) if len(voxels)] if on_foreground else []
    if present:
        weights = sampling.target_weights or (1.0,) * len(targets)
        return targets[present[chosen_index([weights[at] for at in present], drawn)]]
    return annotated if len(annotated) else None


def chosen_index(weights: Sequence[float], drawn: float) -> int:
    """Choose an index with a probability proportional to its weight, by a number in [0, 1)."""
    *ends, total = accumulate(weights)
    return bisect(ends, drawn * total)


def read_regions(
    reader: CaseReader,
    sampling: Sampling,
    places: list[Place],
    positions: Positions,
    first: int | None,
) -> Regions:
    """Read the regions of some patches of a batch.

    Args:
        reader: Reader of the cases.
        sampling: Sampling parameters.
        places: Positions of all patches of the batch.
        positions: Indices of the patches to read.
        first: Index of the augmentation that determines the size of the regions; None to read
            patches.
    """
    context = sampling.context
    entries = sampling.augmentations
    loaded = context.patch_shape if first is None else entries[first].loaded_shape(context)
    count = len(positions)
    images = np.zeros((count, reader.num_channels, *loaded), np.float32)
    num_layers = 1 + bool(sampling.masked_channels) + bool(sampling.num_cascade_channels)
    layers = np.zeros((count, num_layers, *loaded), np.int16)
    layers[:, 0] = sampling.ignored_index or 0
    fill = _fill_mirrored if any(sampling.margin) else _fill
    shape = (1,) * (len(reader.cases[0].shape) - len(loaded)) + loaded  # patches may be slices
    for row, position in enumerate(positions.tolist()):
        shown = Box(
            image=images[row].reshape(-1, *shape),
            labels=layers[row, 0].reshape(shape),
            cascade_input=layers[row, -1].reshape(shape) if reader.with_cascade_input else None,
        )
        fill(shown, reader, places[position])
    if sampling.masked_channels:
        layers[:, 1] = np.any(images[:, list(sampling.masked_channels)] != 0, axis=1)
    highest = None if first is None else highest_value(layers, sampling)
    return Regions(positions, first, images, layers, highest)


def _fill(shown: Box, reader: CaseReader, place: Place) -> None:
    """Copy the part of a region inside the image into `shown`; padding keeps its initial values.

    Images are padded with zero, and labels with background as in nnU-Net, or with the ignored index
    if the dataset has ignored voxels: next to a few annotated voxels, the many easy voxels of the
    padding would dominate the loss, and predictions there are discarded.
    """
    first, last, inside = [], [], []
    shape = reader.cases[place.case].shape
    for middle, edge, size in zip(place.centre, shown.labels.shape, shape, strict=True):
        start = middle - edge // 2
        first.append(max(start, 0))
        last.append(min(start + edge, size))
        inside.append(slice(first[-1] - start, last[-1] - start))
    box = reader.read(place.case, first, last)
    shown.image[(slice(None), *inside)] = box.image
    shown.labels[tuple(inside)] = box.labels
    if shown.cascade_input is not None:
        shown.cascade_input[tuple(inside)] = box.cascade_input


def _fill_mirrored(shown: Box, reader: CaseReader, place: Place) -> None:
    """Copy a region into `shown`, mirrored outside the image.

    Source: Ronneberger et al., MICCAI 2015, figure 2.
    """
    shape = reader.cases[place.case].shape
    positions = [
        mirrored_positions(middle - edge // 2, edge, size)
        for middle, edge, size in zip(place.centre, shown.labels.shape, shape, strict=True)
    ]
    first = [int(axis.min()) for axis in positions]
    last = [int(axis.max()) + 1 for axis in positions]
    mirrored = np.ix_(*(axis - start for axis, start in zip(positions, first, strict=True)))
    box = reader.read(place.case, first, last)
    for channel, source in zip(shown.image, box.image, strict=True):
        channel[...] = source[mirrored]
    shown.labels[...] = box.labels[mirrored]
    if shown.cascade_input is not None and box.cascade_input is not None:
        shown.cascade_input[...] = box.cascade_input[mirrored]


def mirrored_positions(start: int, count: int, size: int) -> Positions:
    """Return consecutive positions along an axis, reflected at both ends.

    The voxel at an end is not repeated, as in `numpy.pad` with mode "reflect".

    Args:
        start: First position before reflection, may be negative.
        count: Number of positions.
        size: Length of the axis, voxels.
    """
    before, after = max(0, -start), max(0, start + count - size)
    return np.pad(np.arange(size), (before, after), mode="reflect")[start + before :][:count]
