"""Every registered augmentation keeps the same promises; a new file is tested unasked."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from autoseg.augmentations import AUGMENTATIONS, AnyAugmentation, PatchContext
from autoseg.training.sampling import seeded_generators

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


def augmented(kind: str, context: PatchContext, seed: int) -> dict[str, torch.Tensor]:
    config = AUGMENTATIONS[kind]()
    shape = config.loaded_shape(context)
    random = np.random.default_rng(seed)
    image = torch.from_numpy(random.normal(size=(2, *shape)).astype(np.float32))
    labels = torch.from_numpy(random.integers(0, 3, (1, *shape)).astype(np.int16))
    with seeded_generators(seed):
        return config.build(context)(image=image, segmentation=labels)


def test_a_patch_keeps_its_shape_and_types(kind: str, context: PatchContext) -> None:
    for seed in range(5):
        changed = augmented(kind, context, seed)
        assert tuple(changed["image"].shape) == (2, *context.patch_shape)
        assert tuple(changed["segmentation"].shape) == (1, *context.patch_shape)
        assert changed["image"].dtype == torch.float32
        assert torch.isfinite(changed["image"]).all()


def test_no_label_is_invented(kind: str, context: PatchContext) -> None:
    found = augmented(kind, context, seed=1)["segmentation"]
    assert set(found.unique().tolist()) <= {0, 1, 2}


def test_the_same_seed_gives_the_same_patch(kind: str, context: PatchContext) -> None:
    first, second = augmented(kind, context, seed=4), augmented(kind, context, seed=4)
    assert torch.equal(first["image"], second["image"])
    assert torch.equal(first["segmentation"], second["segmentation"])


def test_global_generators_are_left_as_they_were(kind: str, context: PatchContext) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    augmented(kind, context, seed=9)
    assert torch.equal(torch.rand(3), expected)


def test_its_chance_is_a_probability(kind: str) -> None:
    assert 0 < AUGMENTATIONS[kind]().chance() <= 1


def test_an_augmentation_round_trips_through_json(kind: str) -> None:
    adapter = TypeAdapter(AnyAugmentation)
    config = AUGMENTATIONS[kind]()
    assert adapter.validate_json(adapter.dump_json(config)) == config
