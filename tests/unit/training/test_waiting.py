"""Telling a GPU to augment a batch waits for none of its results."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from copies import META, Copies
from unit.training.test_sampling import Content, stored

from autoseg.augmentations.base import RandomGenerators
from autoseg.augmentations.gaussian_blur import GaussianBlur
from autoseg.augmentations.spatial import Spatial
from autoseg.documents.recipe import REFERENCE_AUGMENTATIONS
from autoseg.training import augmenting
from autoseg.training.augmenting import augmented
from autoseg.training.drawing import draw_unaugmented, reader_of
from autoseg.training.sampling import Sampling

PLAIN = Sampling(
    patch_shape=(6, 8, 8),
    batch_size=5,
    foreground_fraction=0.4,
    masked_channels=(),
    augmentations=(),
    seed=3,
)
BLURRED = replace(PLAIN, augmentations=(GaussianBlur(probability=1.0, channel_probability=1.0),))
MOVED = replace(PLAIN, augmentations=(Spatial(rotation_probability=1.0),))
FLAT = replace(MOVED, patch_shape=(2, 8, 8))
MASKED = replace(PLAIN, masked_channels=(0,))
SPARSE = replace(MOVED, masked_channels=(0,), ignored_index=2)
SAMPLINGS = {
    "plain": PLAIN,
    "blurred": BLURRED,
    "moved": MOVED,
    "flat": FLAT,
    "masked": MASKED,
    "sparse": SPARSE,
    "reference": replace(PLAIN, augmentations=REFERENCE_AUGMENTATIONS),
}


@pytest.fixture
def cases(tmp_path: Path):
    return (stored(tmp_path / "a", Content((20, 30, 30), (10, 15, 15))),)


@pytest.mark.parametrize("name", SAMPLINGS)
def test_augmentation_on_a_card_waits_for_nothing(
    name: str, cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draws(seed: int, _: torch.device) -> RandomGenerators:
        return RandomGenerators(np.random.default_rng(seed), torch.Generator())

    monkeypatch.setattr(augmenting, "random_generators", draws)
    sampling = SAMPLINGS[name]
    for step in range(3):
        unaugmented = draw_unaugmented(reader_of(cases, sampling), sampling, "train", step)
        with Copies() as copies:
            images, _ = augmented(unaugmented, META)
        assert images.device == META
        assert copies.unsent == 0


def test_masked_channels_are_picked_by_no_list_that_would_be_copied(cases) -> None:
    unaugmented = draw_unaugmented(reader_of(cases, MASKED), MASKED, "train", 0)
    with Copies() as copies:
        augmented(unaugmented, torch.device("cpu"))
    assert not any(name.startswith("index") for name in copies.operations)


@pytest.mark.parametrize("name", ["moved", "flat", "sparse"])
def test_the_highest_value_is_that_which_augmentations_see(name: str, cases) -> None:
    sampling = SAMPLINGS[name]
    found = 0
    for step in range(6):
        for regions in draw_unaugmented(
            reader_of(cases, sampling), sampling, "train", step
        ).regions:
            if regions.first is not None:
                layers = torch.from_numpy(regions.layers.copy())
                seen = augmenting.outside_first(layers, sampling)
                assert regions.highest == int(seen.max())
                found += 1
    assert found
