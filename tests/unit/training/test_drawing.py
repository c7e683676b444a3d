import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from unit.training.test_sampling import Content, draw_batch, stored

from autoseg.augmentations.spatial import Spatial
from autoseg.documents.recipe import REFERENCE_AUGMENTATIONS
from autoseg.training import reading
from autoseg.training.drawing import augment_on_cpu, draw_unaugmented, reader_of
from autoseg.training.loading import BatchDataset, BatchIndex, BatchSampler, load_batches
from autoseg.training.sampling import Sampling, UnaugmentedBatch, augments_on_device
from autoseg.training.step import batch_to_device

CPU = torch.device("cpu")
SAMPLING = Sampling(
    patch_shape=(6, 8, 8),
    batch_size=5,
    foreground_fraction=0.4,
    masked_channels=(),
    augmentations=REFERENCE_AUGMENTATIONS,
    seed=3,
)
MASKED = replace(SAMPLING, masked_channels=(0,), ignored_index=2)
PICTURES = replace(SAMPLING, patch_shape=(12, 8), batch_size=20)


@pytest.fixture
def cases(tmp_path: Path):
    return (
        stored(tmp_path / "a", Content((20, 30, 30), (10, 15, 15))),
        stored(tmp_path / "b", Content((9, 25, 22), (0, 2, 21))),
    )


@pytest.mark.parametrize("sampling", [SAMPLING, MASKED, PICTURES], ids=["3d", "masked", "2d"])
def test_a_draft_that_the_device_augments_is_the_same_batch(cases, sampling: Sampling) -> None:
    reader = reader_of(cases, sampling)
    for step in range(4):
        expected = draw_batch(cases, sampling, "train", step)
        sent = pickle.loads(pickle.dumps(draw_unaugmented(reader, sampling, "train", step)))
        images, labels = batch_to_device(sent, CPU)
        assert np.array_equal(images.numpy(), expected.images)
        assert np.array_equal(labels.numpy(), expected.labels)


def test_what_is_kept_in_memory_is_never_changed(cases) -> None:
    reader = reader_of(cases, SAMPLING)
    first = [augment_on_cpu(draw_unaugmented(reader, SAMPLING, "train", step)) for step in range(6)]
    again = [augment_on_cpu(draw_unaugmented(reader, SAMPLING, "train", step)) for step in range(6)]
    for before, after in zip(first, again, strict=True):
        assert np.array_equal(before.images, after.images)
        assert np.array_equal(before.labels, after.labels)


def test_batches_are_the_same_whether_cases_are_kept_or_not(
    cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [draw_batch(cases, SAMPLING, "train", step) for step in range(4)]
    monkeypatch.setattr(reading, "KEPT_BYTES", 0)
    for step, expected in enumerate(kept):
        assert np.array_equal(draw_batch(cases, SAMPLING, "train", step).images, expected.images)


def test_a_small_fold_is_read_once(cases, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    read = type(cases[0]).read_patch
    monkeypatch.setattr(
        type(cases[0]),
        "read_patch",
        lambda case, start, stop: reads.append((start, stop)) or read(case, start, stop),
    )
    reader = reader_of(cases, SAMPLING)
    for step in range(5):
        draw_unaugmented(reader, SAMPLING, "train", step)
    assert len([stop for _, stop in reads if stop != (1, 1, 1)]) == 2


def test_a_reader_travels_without_what_it_keeps(cases) -> None:
    reader = reader_of(cases, SAMPLING)
    before = len(pickle.dumps(reader))
    draw_unaugmented(reader, SAMPLING, "train", 0)
    assert len(pickle.dumps(reader)) == before
    assert pickle.loads(pickle.dumps(reader)).cases == cases


def test_only_patches_that_need_it_load_a_larger_region(cases) -> None:
    unaugmented = draw_unaugmented(reader_of(cases, SAMPLING), SAMPLING, "train", 0)
    sizes = {regions.first: regions.images.shape[2:] for regions in unaugmented.regions}
    assert sizes[None] == SAMPLING.patch_shape
    assert sizes[0] == Spatial().loaded_shape(SAMPLING.context)
    positions = np.concatenate([regions.positions for regions in unaugmented.regions])
    assert sorted(positions) == list(range(SAMPLING.batch_size))
    assert {
        int(place)
        for regions in unaugmented.regions
        if regions.first == 0
        for place in regions.positions
    } == set(np.flatnonzero(unaugmented.chosen[:, 0]))


def test_augmentations_happen_as_often_as_planned(cases) -> None:
    sampling = replace(PICTURES, batch_size=2000)
    chosen = draw_unaugmented(reader_of(cases, sampling), sampling, "train", 0).chosen
    planned = [entry.chance() for entry in sampling.augmentations]
    np.testing.assert_allclose(chosen.mean(axis=0), planned, atol=0.05)


def test_patches_of_both_sizes_come_back_in_their_order(cases) -> None:
    """An augmented patch shows the place that the same patch without augmentation shows."""
    turned = replace(SAMPLING, augmentations=(Spatial(scaling=(1.0, 1.0), volume_degrees=0.0),))
    plain = replace(SAMPLING, augmentations=())
    found = 0
    for step in range(4):
        unaugmented = draw_unaugmented(reader_of(cases, turned), turned, "train", step)
        again = replace(unaugmented, chosen=np.zeros_like(unaugmented.chosen))
        images = augment_on_cpu(unaugmented).images
        for regions in again.regions:
            middle = tuple(
                slice((size - edge) // 2, (size - edge) // 2 + edge)
                for size, edge in zip(regions.images.shape[2:], plain.patch_shape, strict=True)
            )
            shown = regions.images[(slice(None), slice(None), *middle)]
            found += len(regions.positions)
            close = np.isclose(images[regions.positions], shown, atol=600)
            assert close.mean() > 0.9
    assert found == 4 * SAMPLING.batch_size


def test_cuda_augments_what_it_can() -> None:
    assert augments_on_device(SAMPLING, torch.device("cuda"))
    assert not augments_on_device(SAMPLING, CPU)
    assert not augments_on_device(replace(SAMPLING, num_cascade_channels=1), torch.device("cuda"))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_hands_out_drafts_for_a_device(cases, workers: int) -> None:
    data = BatchDataset(
        cases, cases, PICTURES, replace(PICTURES, augmentations=()), are_unaugmented=True
    )
    order = BatchSampler(first_step=0, epoch_steps=2, validation_batches=1)
    batches = load_batches(data, order, workers=workers)
    indices = [BatchIndex("train", 0), BatchIndex("train", 1), BatchIndex("validation", 0)]
    for index in indices:
        unaugmented = next(batches)
        assert isinstance(unaugmented, UnaugmentedBatch)
        assert np.array_equal(batch_to_device(unaugmented, CPU)[0].numpy(), data.draw(index).images)
    batches.close()
