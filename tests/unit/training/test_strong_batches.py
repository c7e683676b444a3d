"""Batches with augmentations of batchgenerators are determined by seed and step."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from unit.training.test_sampling import Content, draw_batch, stored, with_cascade_input

from autoseg.augmentations.batchgenerators import Batchgenerators
from autoseg.augmentations.gaussian_noise import GaussianNoise
from autoseg.planning.augmentation import augmentations_of
from autoseg.preprocessing.storage import StoredCase
from autoseg.training.drawing import draw_unaugmented, reader_of
from autoseg.training.loading import BatchDataset, BatchSampler, load_batches
from autoseg.training.sampling import Batch, Sampling, augments_on_device
from autoseg.training.step import batch_to_device

IGNORED = 2
SAMPLING = Sampling(
    patch_shape=(12, 14, 14),
    batch_size=6,
    foreground_fraction=0.5,
    masked_channels=(),
    augmentations=augmentations_of("strong", (0, 1, 2)),
    seed=3,
)
ALWAYS = tuple(entry.model_copy(update={"probability": 1.0}) for entry in SAMPLING.augmentations)
ELASTIC = Batchgenerators(
    transform="SpatialTransform_2", parameters={"deformation_scale": [0.2, 0.25]}
)


@pytest.fixture
def cases(tmp_path: Path) -> tuple[StoredCase, ...]:
    return (
        stored(tmp_path / "a", Content((20, 30, 30), (10, 15, 15))),
        stored(tmp_path / "b", Content((16, 25, 22), (0, 2, 21))),
    )


def assert_same(one: Batch, other: Batch) -> None:
    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.labels, other.labels)


def batches(cases: tuple[StoredCase, ...], *, first: int, workers: int, count: int) -> list[Batch]:
    dataset = BatchDataset(cases, cases, SAMPLING, replace(SAMPLING, augmentations=()))
    order = BatchSampler(first_step=first, epoch_steps=100, validation_batches=0)
    loaded = load_batches(dataset, order, workers=workers)
    found = [next(loaded) for _ in range(count)]
    loaded.close()
    return found


def test_workers_and_a_later_start_do_not_change_batches(cases) -> None:
    expected = batches(cases, first=0, workers=0, count=6)
    for one, other in zip(expected, batches(cases, first=0, workers=2, count=6), strict=True):
        assert_same(one, other)
    for one, other in zip(expected[4:], batches(cases, first=4, workers=0, count=2), strict=True):
        assert_same(one, other)


def test_batches_drawn_by_threads_at_the_same_time_are_those_of_one_thread(cases) -> None:
    expected = [draw_batch(cases, SAMPLING, "train", step) for step in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda at: draw_batch(cases, SAMPLING, "train", at), range(6)))
    for one, other in zip(expected, found, strict=True):
        assert_same(one, other)


def test_other_steps_streams_and_seeds_give_other_batches(cases) -> None:
    first = draw_batch(cases, SAMPLING, "train", 0)
    for sampling, stream, step in (
        (SAMPLING, "train", 1),
        (SAMPLING, "validation", 0),
        (replace(SAMPLING, seed=4), "train", 0),
    ):
        assert not np.array_equal(first.images, draw_batch(cases, sampling, stream, step).images)


def test_labels_stay_labels_and_ignored_voxels_stay_ignored(tmp_path: Path) -> None:
    case = stored(tmp_path / "small", Content((6, 7, 7), (3, 3, 3)))
    sampling = replace(SAMPLING, ignored_index=IGNORED, augmentations=ALWAYS)
    for step in range(4):
        labels = draw_batch((case,), sampling, "train", step).labels
        assert set(np.unique(labels)) <= {0, 1, IGNORED}
        assert (labels[:, 0, 0, 0] == IGNORED).all()
        assert np.mean(labels == IGNORED) == pytest.approx(1 - 6 * 7 * 7 / labels[0].size, abs=0.12)


def test_voxels_outside_the_mask_of_a_channel_stay_zero(tmp_path: Path) -> None:
    case = stored(tmp_path / "small", Content((6, 7, 7), (3, 3, 3)))
    sampling = replace(SAMPLING, masked_channels=(0,), augmentations=(ELASTIC, *ALWAYS[2:]))
    images = draw_batch((case,), sampling, "train", 0).images
    assert np.mean(images == 0) > 0.7
    assert np.mean(images == 0) < 1


def test_the_cascade_input_is_deformed_like_the_image(tmp_path: Path) -> None:
    case = with_cascade_input(tmp_path, Content((20, 30, 30), (10, 15, 15)))
    still = {"do_rotation": False, "do_scale": False, "order_data": 0}
    elastic = ELASTIC.model_copy(update={"parameters": {**ELASTIC.parameters, **still}})
    sampling = replace(SAMPLING, num_cascade_channels=2, augmentations=(elastic,))
    images = draw_batch((case,), sampling, "train", 0).images
    positions = (images[:, 0].astype(np.int64) - 1) // (30 * 30)
    assert np.array_equal(images[:, 1] == 1, (positions < 10) & (images[:, 0] > 0))
    assert np.array_equal(images[:, 2] == 1, positions >= 10)


def test_patches_that_are_deformed_load_a_larger_region(cases) -> None:
    sampling = replace(SAMPLING, augmentations=(ELASTIC,))
    (regions,) = draw_unaugmented(reader_of(cases, sampling), sampling, "train", 0).regions
    assert regions.images.shape[2:] == ELASTIC.loaded_shape(sampling.context)


def test_a_recipe_with_batchgenerators_augments_in_the_workers() -> None:
    gpu = torch.device("cuda")
    assert augments_on_device(replace(SAMPLING, augmentations=(GaussianNoise(),)), gpu)
    assert not augments_on_device(SAMPLING, gpu)


def test_an_unaugmented_batch_may_also_be_augmented_by_the_network_s_process(cases) -> None:
    reader = reader_of(cases, SAMPLING)
    expected = draw_batch(cases, SAMPLING, "train", 2)
    images, labels = batch_to_device(
        draw_unaugmented(reader, SAMPLING, "train", 2), torch.device("cpu")
    )
    assert np.array_equal(images.numpy(), expected.images)
    assert np.array_equal(labels.numpy(), expected.labels)
