"""Every registered augmentation keeps the same promises; a new file is tested automatically."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from autoseg.augmentations import (
    AUGMENTATIONS,
    AnyAugmentation,
    Augmentation,
    PatchContext,
    Patches,
    random_generators,
)
from autoseg.augmentations.batchgenerators import TRANSFORMS, Batchgenerators

CONTEXTS = [
    PatchContext(patch_shape=(16, 20), in_plane_only=False),
    PatchContext(patch_shape=(12, 16, 14), in_plane_only=False),
    PatchContext(patch_shape=(4, 16, 20), in_plane_only=True),
]

PARAMETERS = {
    "BlankRectangleTransform": {"num_rectangles": [1, 4], "p_per_channel": 1},
    "BlankSquareNoiseTransform": {"squre_size": [2, 6]},
    "BrightnessTransform": {"mu": 0, "sigma": 0.5},
    "ClipValueRange": {"min": -0.5, "max": 0.5},
    "MeanStdNormalizationTransform": {"mean": [0, 1], "std": [2, 3]},
    "MedianFilterTransform": {"filter_size": [2, 8]},
    "NormalizeTransform": {"means": [0, 1], "stds": [2, 3]},
    "Rot90Transform": {"num_rot": [2], "axes": [0, 1]},
    "TransposeAxesTransform": {"transpose_any_of_these": [0, 1]},
}
"""Parameters of the transforms of batchgenerators that do not work without any."""

NAMED = {
    f"batchgenerators, {name}": Batchgenerators(transform=name, parameters=PARAMETERS.get(name, {}))
    for name in TRANSFORMS
}
OTHERS = {kind: AUGMENTATIONS[kind]() for kind in AUGMENTATIONS if kind != "batchgenerators"}


@pytest.fixture(params=[*OTHERS, *NAMED])
def entry(request: pytest.FixtureRequest) -> Augmentation:
    return (OTHERS | NAMED)[request.param]


@pytest.fixture(params=CONTEXTS, ids=["2d", "3d", "flat"])
def context(request: pytest.FixtureRequest, entry: Augmentation) -> PatchContext:
    if getattr(entry, "transform", "") == "TransposeAxesTransform":  # needs equal edges
        return request.param._replace(patch_shape=(16,) * len(request.param.patch_shape))
    return request.param


def patches_for(
    entry: Augmentation, context: PatchContext, *, seed: int = 0, count: int = 3
) -> Patches:
    """Return suitable input of an augmentation: images, or the predictions of a previous stage."""
    shape = entry.loaded_shape(context)
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, (count, 1, *shape)).astype(np.int16)
    images = random.normal(size=(count, 2, *shape))
    if entry.changes_cascade_input:
        images = labels == np.array([1, 2]).reshape(1, 2, *[1] * len(shape))
    return Patches(torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels))


def augmented(entry: Augmentation, context: PatchContext, seed: int) -> Patches:
    patches = patches_for(entry, context, seed=seed)
    return entry.apply(patches, random_generators(seed, torch.device("cpu")), context)


def test_patches_keep_their_shape_and_types(entry: Augmentation, context: PatchContext) -> None:
    for seed in range(5):
        changed = augmented(entry, context, seed)
        assert tuple(changed.images.shape) == (3, 2, *context.patch_shape)
        assert tuple(changed.layers.shape) == (3, 1, *context.patch_shape)
        assert changed.images.dtype == torch.float32
        assert changed.layers.dtype == torch.int16
        assert torch.isfinite(changed.images).all()
        assert changed.images.is_contiguous()


def test_no_label_is_invented(entry: Augmentation, context: PatchContext) -> None:
    found = augmented(entry, context, seed=1).layers
    assert set(found.unique().tolist()) <= {0, 1, 2}


def test_a_constant_image_stays_finite(entry: Augmentation, context: PatchContext) -> None:
    patches = patches_for(entry, context)
    still = Patches(torch.ones_like(patches.images), patches.layers)
    changed = entry.apply(still, random_generators(0, torch.device("cpu")), context)
    assert torch.isfinite(changed.images).all()


def test_the_same_seed_gives_the_same_patches(entry: Augmentation, context: PatchContext) -> None:
    first, second = augmented(entry, context, seed=4), augmented(entry, context, seed=4)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.layers, second.layers)


def test_some_seed_changes_something(entry: Augmentation, context: PatchContext) -> None:
    if entry.loaded_shape(context) != context.patch_shape:
        pytest.skip("patches are smaller than the region that they are made from")
    before = patches_for(entry, context)
    for seed in range(8):
        draws = random_generators(seed, torch.device("cpu"))
        after = entry.apply(patches_for(entry, context), draws, context)
        if not torch.equal(after.images, before.images):
            return
    pytest.fail("8 seeds left the patches as they were")


def test_global_generators_are_left_alone(entry: Augmentation, context: PatchContext) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    numbers = np.random.get_state()[1]  # noqa: NPY002
    augmented(entry, context, seed=9)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002


def test_its_chance_is_a_probability(entry: Augmentation) -> None:
    assert 0 < entry.chance() <= 1


def test_an_augmentation_round_trips_through_json(entry: Augmentation) -> None:
    adapter = TypeAdapter(AnyAugmentation)
    assert adapter.validate_json(adapter.dump_json(entry)) == entry
