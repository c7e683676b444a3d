"""Every registered augmentation keeps the same promises; a new file is tested unasked."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from autoseg.augmentations import (
    AUGMENTATIONS,
    AnyAugmentation,
    PatchContext,
    Patches,
    random_generators,
)

CONTEXTS = [
    PatchContext(patch_shape=(16, 20), in_plane_only=False),
    PatchContext(patch_shape=(12, 16, 14), in_plane_only=False),
    PatchContext(patch_shape=(4, 16, 20), in_plane_only=True),
]


@pytest.fixture(params=list(AUGMENTATIONS))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=CONTEXTS, ids=["2d", "3d", "flat"])
def context(request: pytest.FixtureRequest) -> PatchContext:
    return request.param


def patches_for(kind: str, context: PatchContext, *, seed: int = 0, count: int = 3) -> Patches:
    """Return what an augmentation may be given: an image, or what a previous stage predicted."""
    config = AUGMENTATIONS[kind]()
    shape = config.loaded_shape(context)
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, (count, 1, *shape)).astype(np.int16)
    images = random.normal(size=(count, 2, *shape))
    if config.changes_cascade_input:
        images = labels == np.array([1, 2]).reshape(1, 2, *[1] * len(shape))
    return Patches(torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels))


def augmented(kind: str, context: PatchContext, seed: int) -> Patches:
    patches = patches_for(kind, context, seed=seed)
    return AUGMENTATIONS[kind]().apply(
        patches, random_generators(seed, torch.device("cpu")), context
    )


def test_patches_keep_their_shape_and_types(kind: str, context: PatchContext) -> None:
    for seed in range(5):
        changed = augmented(kind, context, seed)
        assert tuple(changed.images.shape) == (3, 2, *context.patch_shape)
        assert tuple(changed.layers.shape) == (3, 1, *context.patch_shape)
        assert changed.images.dtype == torch.float32
        assert changed.layers.dtype == torch.int16
        assert torch.isfinite(changed.images).all()
        assert changed.images.is_contiguous()


def test_no_label_is_invented(kind: str, context: PatchContext) -> None:
    found = augmented(kind, context, seed=1).layers
    assert set(found.unique().tolist()) <= {0, 1, 2}


def test_a_constant_image_stays_finite(kind: str, context: PatchContext) -> None:
    patches = patches_for(kind, context)
    still = Patches(torch.ones_like(patches.images), patches.layers)
    changed = AUGMENTATIONS[kind]().apply(still, random_generators(0, torch.device("cpu")), context)
    assert torch.isfinite(changed.images).all()


def test_the_same_seed_gives_the_same_patches(kind: str, context: PatchContext) -> None:
    first, second = augmented(kind, context, seed=4), augmented(kind, context, seed=4)
    assert torch.equal(first.images, second.images)
    assert torch.equal(first.layers, second.layers)


def test_some_seed_changes_something(kind: str, context: PatchContext) -> None:
    config = AUGMENTATIONS[kind]()
    if config.loaded_shape(context) != context.patch_shape:
        pytest.skip("patches are not as large as what they are made from")
    before = patches_for(kind, context)
    for seed in range(8):
        draws = random_generators(seed, torch.device("cpu"))
        after = config.apply(patches_for(kind, context), draws, context)
        if not torch.equal(after.images, before.images):
            return
    pytest.fail("8 seeds left the patches as they were")


def test_global_generators_are_left_alone(kind: str, context: PatchContext) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    numbers = np.random.get_state()[1]  # noqa: NPY002
    augmented(kind, context, seed=9)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002


def test_its_chance_is_a_probability(kind: str) -> None:
    assert 0 < AUGMENTATIONS[kind]().chance() <= 1


def test_an_augmentation_round_trips_through_json(kind: str) -> None:
    adapter = TypeAdapter(AnyAugmentation)
    config = AUGMENTATIONS[kind]()
    assert adapter.validate_json(adapter.dump_json(config)) == config
