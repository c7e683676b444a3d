"""Draw training patches: which case, which place, which random changes.

Every sample is a function of (seed, step, position in the batch) alone, so batches are the same on
any number of workers and after any interruption.

Source: Isensee et al., Nature Methods 18 (2021), Methods, "Training schedule" (oversampling).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int, Integer

from autoseg.augmentations import AnyAugmentation, PatchContext
from autoseg.core.arrays import ImageArray, LabelArray, VoxelList
from autoseg.core.case import Prior
from autoseg.core.random import derived_seed, generator
from autoseg.preprocessing.storage import StoredCase
from autoseg.training.distance_maps import MapArrays, Measure

IN_PLANE_ANISOTROPY = 3.0
"""Longest over first edge of a patch beyond which it is only rotated within planes."""


@dataclass(frozen=True)
class Sampling:
    """How patches are drawn.

    Attributes:
        patch_shape: Size of what the network scores, voxels; 2-D patches are cut from slices.
        batch_size: Patches per batch.
        foreground_fraction: Share of each batch centred on a foreground voxel.
        masked_channels: Channels whose voxels outside the case's mask stay zero.
        augmentations: Random changes, in order; none for validation.
        seed: Of all draws.
        ignored_index: Class index of voxels that nobody annotated, if there are any.
        num_prior_channels: Channels that the previous stage's prediction gives; 0 without one.
        margin: Voxels per axis and side that images have around the patch; empty for none.
        measure: What measures distances in label patches; None if the loss needs none.
    """

    patch_shape: tuple[int, ...]
    batch_size: int
    foreground_fraction: float
    masked_channels: tuple[int, ...]
    augmentations: tuple[AnyAugmentation, ...]
    seed: int
    ignored_index: int | None = None
    num_prior_channels: int = 0
    margin: tuple[int, ...] = ()
    measure: Measure | None = None

    @property
    def context(self) -> PatchContext:
        """What augmentations know about the patches."""
        shape = self.patch_shape
        flat = len(shape) == 3 and max(shape) / shape[0] > IN_PLANE_ANISOTROPY
        around = self.margin or (0,) * len(shape)
        given = tuple(size + 2 * margin for size, margin in zip(shape, around, strict=True))
        return PatchContext(patch_shape=given, in_plane_only=flat)


InputPatch = Float32[np.ndarray, "input_channels *patch"]
LabelPatch = Integer[np.ndarray, "*scored"]
PriorPatch = Float32[torch.Tensor, "channels *patch"]
ImagePatches = Float32[np.ndarray, "batch channels *space"]
LabelPatches = Integer[np.ndarray, "batch *scored"]
Positions = Int[np.ndarray, " count"]


@dataclass(frozen=True)
class Batch:
    """Patches for one step.

    Attributes:
        images: Normalised intensities, and after them what the previous stage predicted.
        labels: Class indices, of the patch without its margin.
        maps: What the loss wants to know about distances in them; None for most losses.
    """

    images: ImagePatches
    labels: LabelPatches
    maps: MapArrays | None = None


def draw_batch(cases: tuple[StoredCase, ...], sampling: Sampling, stream: str, step: int) -> Batch:
    """Return the batch of one step.

    Args:
        cases: Where to draw from, uniformly and with replacement.
        sampling: How.
        stream: "train" or "validation"; streams are independent.
        step: Which batch of the stream.
    """
    plain = round(sampling.batch_size * (1 - sampling.foreground_fraction))
    images, labels = [], []
    for sample in range(sampling.batch_size):
        path = (stream, step, sample)
        random = generator(sampling.seed, *path)
        case = cases[int(random.integers(len(cases)))]
        seed = derived_seed(sampling.seed, "augmentation", *path)
        image, label = _draw_patch(case, sampling, random, seed, on_foreground=sample >= plain)
        images.append(image)
        labels.append(label)
    measure = sampling.measure
    maps = None if measure is None else np.stack([measure.maps(label) for label in labels])
    return Batch(images=np.stack(images), labels=np.stack(labels), maps=maps)


def _draw_patch(
    case: StoredCase,
    sampling: Sampling,
    random: np.random.Generator,
    seed: int,
    *,
    on_foreground: bool,
) -> tuple[InputPatch, LabelPatch]:
    context = sampling.context
    chosen = [entry for entry in sampling.augmentations if random.random() < entry.chance()]
    loaded = tuple(
        int(size)
        for size in np.max(
            [context.patch_shape, *(entry.loaded_shape(context) for entry in chosen)], axis=0
        )
    )
    present = _centres(case, sampling, on_foreground=on_foreground)
    centre = _patch_centre(case, sampling.patch_shape, random, present)
    read = _read_mirrored if any(sampling.margin) else _read_padded
    image, labels, prior = read(case, centre, loaded, sampling)
    return _augment(image, labels, prior, sampling, chosen, seed)


def _centres(case: StoredCase, sampling: Sampling, *, on_foreground: bool) -> list[VoxelList]:
    """Return the lists of voxels of which one is the centre; none means anywhere.

    Where voxels are ignored, a patch that is not for the foreground is centred on an annotated
    voxel, else most patches of sparsely annotated images would have nothing to learn from.
    """
    if not on_foreground and sampling.ignored_index is None:
        return []
    annotated, *targets = case.foreground
    wanted = [voxels for voxels in targets if len(voxels)] if on_foreground else []
    return wanted or ([annotated] if len(annotated) else [])


def _patch_centre(
    case: StoredCase,
    patch_shape: tuple[int, ...],
    random: np.random.Generator,
    present: list[VoxelList],
) -> tuple[int, ...]:
    """Return where the patch's middle voxel lies; a patch stays in the image where it can."""
    shape = np.array(case.shape)
    patch = np.array((1,) * (len(case.shape) - len(patch_shape)) + patch_shape)
    lowest, highest = patch // 2, shape - (patch - patch // 2)
    if present:
        voxels = present[int(random.integers(len(present)))]
        wanted = np.asarray(voxels[int(random.integers(len(voxels)))], dtype=np.int64)
    else:
        wanted = random.integers(lowest, np.maximum(highest, lowest) + 1)
    inside = np.clip(wanted, lowest, np.maximum(highest, lowest))
    centre = np.where(shape < patch, shape // 2, inside)
    return tuple(int(value) for value in centre)


def _read_padded(
    case: StoredCase, centre: tuple[int, ...], loaded: tuple[int, ...], sampling: Sampling
) -> tuple[ImageArray, LabelArray, LabelArray | None]:
    """Return the box of size `loaded` around `centre`, zero outside the image.

    The third value is what the previous stage predicted, if there is one.

    Labels outside the image are background as in nnU-Net, but ignored where there are ignored
    voxels. Nobody annotated the padding, prediction throws away what it says there, and beside a
    few annotated voxels the many easy ones of the padding would rule the loss.
    """
    box = (1,) * (len(case.shape) - len(loaded)) + loaded
    start = np.array(centre) - np.array(box) // 2
    stop = start + np.array(box)
    inner_start = np.clip(start, 0, case.shape)
    inner_stop = np.clip(stop, 0, case.shape)
    first, last = tuple(map(int, inner_start)), tuple(map(int, inner_stop))
    image, labels = case.read_patch(first, last)
    prior = case.read_prior(first, last) if sampling.num_prior_channels else None
    padding = list(zip(inner_start - start, stop - inner_stop, strict=True))
    if any(before or after for before, after in padding):
        image = np.pad(image, [(0, 0), *padding])
        labels = np.pad(labels, padding, constant_values=sampling.ignored_index or 0)
        prior = None if prior is None else np.pad(prior, padding)
    flat = None if prior is None else prior.reshape(loaded)
    return image.reshape(image.shape[0], *loaded), labels.reshape(loaded), flat


def _read_mirrored(
    case: StoredCase, centre: tuple[int, ...], loaded: tuple[int, ...], sampling: Sampling
) -> tuple[ImageArray, LabelArray, LabelArray | None]:
    """Return the box of size `loaded` around `centre`, all of it mirrored outside the image.

    Source: Ronneberger et al., MICCAI 2015, figure 2.
    """
    box = (1,) * (len(case.shape) - len(loaded)) + loaded
    positions = [
        mirrored_positions(middle - size // 2, size, available)
        for middle, size, available in zip(centre, box, case.shape, strict=True)
    ]
    first = tuple(int(axis.min()) for axis in positions)
    last = tuple(int(axis.max()) + 1 for axis in positions)
    taken = np.ix_(*(axis - start for axis, start in zip(positions, first, strict=True)))
    image, labels = case.read_patch(first, last)
    prior = case.read_prior(first, last)[taken] if sampling.num_prior_channels else None
    flat = None if prior is None else prior.reshape(loaded)
    mirrored = np.stack([channel[taken] for channel in image])
    return mirrored.reshape(image.shape[0], *loaded), labels[taken].reshape(loaded), flat


def mirrored_positions(start: int, count: int, size: int) -> Positions:
    """Return `count` positions within an axis of `size` voxels, from `start` on.

    Beyond either end they run back into the axis; the voxel at the end is not repeated.
    """
    before, after = max(0, -start), max(0, start + count - size)
    return np.pad(np.arange(size), (before, after), mode="reflect")[start + before :][:count]


def _augment(
    image: ImageArray,
    labels: LabelArray,
    prior: LabelArray | None,
    sampling: Sampling,
    chosen: list[AnyAugmentation],
    seed: int,
) -> tuple[InputPatch, LabelPatch]:
    """Return the patch after its augmentations, with what the previous stage predicted.

    That moves with the labels, and so does the case's mask.
    """
    layers = [torch.from_numpy(_outside_first(labels, sampling))]
    masked = list(sampling.masked_channels)
    if masked:
        layers.append(torch.from_numpy(np.any(image[masked] != 0, axis=0).astype(np.int16)))
    if prior is not None:
        layers.append(torch.from_numpy(prior.astype(np.int16)))
    data = {
        "image": torch.from_numpy(np.ascontiguousarray(image)),
        "segmentation": torch.stack(layers),
    }
    with seeded_generators(seed):
        for entry in chosen:
            if not entry.changes_prior:
                data = entry.build(sampling.context)(**data)
        changed = data["image"]
        if masked:
            changed[masked] = changed[masked] * (data["segmentation"][1] > 0)
        if prior is not None:
            given = Prior(data["segmentation"][-1].numpy(), sampling.num_prior_channels)
            changed = torch.cat([changed, _prior_channels(given, sampling, chosen)])
    moved = _outside_last(data["segmentation"][0].numpy(), sampling)
    return changed.numpy(), moved[tuple(slice(edge, -edge or None) for edge in sampling.margin)]


def _prior_channels(prior: Prior, sampling: Sampling, chosen: list[AnyAugmentation]) -> PriorPatch:
    """Return the previous stage's prediction as channels, after the augmentations of it."""
    channels = torch.from_numpy(prior.one_hot())
    for entry in chosen:
        if entry.changes_prior:
            channels = entry.build(sampling.context)(image=channels)["image"]
    return channels


def _outside_first(labels: LabelArray, sampling: Sampling) -> LabelArray:
    """Return labels of which 0 is what augmentations find outside the patch: ignored, if any is."""
    signed = labels.astype(np.int16)
    if sampling.ignored_index is None:
        return signed
    return (signed + 1) % np.int16(sampling.ignored_index + 1)


def _outside_last(labels: LabelArray, sampling: Sampling) -> LabelArray:
    """Undo `_outside_first`."""
    if sampling.ignored_index is None:
        return labels
    return (labels - 1) % np.int16(sampling.ignored_index + 1)


@contextmanager
def seeded_generators(seed: int) -> Iterator[None]:
    """Seed numpy's and torch's global generators for a block, and put them back afterwards.

    One torch thread, as in a worker process, so that sums come out the same there and here.
    """
    numpy_state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    threads = torch.get_num_threads()
    np.random.seed(seed % 2**32)  # noqa: NPY002  (batchgeneratorsv2 draws from it)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        torch.set_rng_state(torch_state)
        torch.set_num_threads(threads)
