from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.augmentations.cascade_components import CascadeComponents
from autoseg.augmentations.cascade_morphology import CascadeMorphology
from autoseg.augmentations.gaussian_noise import GaussianNoise
from autoseg.augmentations.mirroring import Mirroring
from autoseg.augmentations.spatial import Spatial
from autoseg.core.case import InverseTransform, PreparedImage
from autoseg.core.labels import LabelScheme, Region
from autoseg.documents.recipe import REFERENCE_AUGMENTATIONS
from autoseg.preprocessing.prepare import PreparedCase
from autoseg.preprocessing.storage import (
    CascadeInputRecord,
    StoredCase,
    open_cascade_input,
    open_case,
    save_cascade_input,
    save_case,
)
from autoseg.training.drawing import augment_on_cpu, draw_unaugmented, reader_of
from autoseg.training.regions import chosen_index
from autoseg.training.sampling import Batch, Sampling, target_weights

SAMPLING = Sampling(
    patch_shape=(6, 8, 8),
    batch_size=4,
    foreground_fraction=0.5,
    masked_channels=(),
    augmentations=(),
    seed=0,
)


@dataclass(frozen=True)
class Content:
    shape: tuple[int, ...]
    spot: tuple[int, ...] | None


def draw_batch(cases: tuple[StoredCase, ...], sampling: Sampling, stream: str, step: int) -> Batch:
    return augment_on_cpu(draw_unaugmented(reader_of(cases, sampling), sampling, stream, step))


def stored(folder: Path, content: Content) -> StoredCase:
    """Save a case whose voxels hold their own position, with one foreground voxel or none."""
    voxels = np.arange(1, np.prod(content.shape) + 1, dtype=np.float32).reshape(1, *content.shape)
    classes = np.zeros(content.shape, np.uint8)
    spots = np.zeros((0, len(content.shape)), np.int32)
    if content.spot is not None:
        classes[content.spot] = 1
        spots = np.array([content.spot], np.int32)
    axes = len(content.shape)
    restoration = InverseTransform.uncropped(content.shape, (1.0,) * axes)
    prepared = PreparedCase(
        name=folder.name,
        image=PreparedImage(voxels=voxels, restoration=restoration),
        classes=classes,
        foreground=(np.zeros((0, axes), np.int32), spots),
    )
    save_case(prepared, folder, content.shape, key="key", content_key="key")
    return open_case(folder)


def test_half_of_the_batch_is_centred_on_foreground(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((20, 30, 30), (10, 15, 15)))
    for step in range(8):
        batch = draw_batch((case,), SAMPLING, "train", step)
        assert batch.images.shape == (4, 1, 6, 8, 8)
        assert (batch.labels[2:, 3, 4, 4] == 1).all()


def test_a_patch_at_the_border_stays_in_the_image(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((20, 30, 30), (0, 29, 0)))
    for step in range(8):
        batch = draw_batch((case,), SAMPLING, "train", step)
        assert (batch.images > 0).all()
        assert (batch.labels[2:].reshape(2, -1).sum(axis=1) == 1).all()


def test_a_small_image_is_centred_in_zeros(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((2, 30, 30), (1, 15, 15)))
    batch = draw_batch((case,), SAMPLING, "train", 0)
    assert (batch.images[:, 0, [0, 1, 4, 5]] == 0).all()
    assert (batch.images[:, 0, 2:4] > 0).all()


def test_pictures_are_cut_from_slices(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((5, 30, 30), (3, 15, 15)))
    flat = replace(SAMPLING, patch_shape=(8, 8))
    batch = draw_batch((case,), flat, "train", 0)
    assert batch.images.shape == (4, 1, 8, 8)
    slices = (batch.images[2:] - 1) // 900
    assert (slices == 3).all()


def test_a_case_without_foreground_is_drawn_from_anywhere(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((20, 30, 30), None))
    batch = draw_batch((case,), SAMPLING, "train", 0)
    assert (batch.labels == 0).all()


def test_plain_patches_reach_every_corner(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((7, 9, 9), None))
    seen = {
        float(patch.min())
        for step in range(40)
        for patch in draw_batch((case,), SAMPLING, "train", step).images
    }
    assert len(seen) == 8


@pytest.mark.parametrize("augmentations", [(), REFERENCE_AUGMENTATIONS], ids=["plain", "all"])
def test_a_batch_depends_on_seed_stream_and_step_alone(tmp_path: Path, augmentations) -> None:
    case = stored(tmp_path / "a", Content((20, 30, 30), (10, 15, 15)))
    sampling = replace(SAMPLING, augmentations=augmentations)
    first = draw_batch((case,), sampling, "train", 3)
    draw_batch((case,), sampling, "train", 4)
    again = draw_batch((case,), sampling, "train", 3)
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.labels, again.labels)
    others = [
        draw_batch((case,), sampling, "train", 4),
        draw_batch((case,), sampling, "validation", 3),
        draw_batch((case,), replace(sampling, seed=1), "train", 3),
    ]
    assert not any(np.array_equal(first.images, other.images) for other in others)


def test_outside_the_mask_stays_zero_under_augmentation(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((2, 30, 30), (1, 15, 15)))
    sampling = replace(SAMPLING, augmentations=REFERENCE_AUGMENTATIONS[1:8], masked_channels=(0,))
    for step in range(10):
        batch = draw_batch((case,), sampling, "train", step)
        assert (batch.images[:, 0, [0, 5]] == 0).all()


IGNORED = 2


def sparse(folder: Path, shape: tuple[int, ...], annotated: tuple[int, ...]) -> StoredCase:
    """Save a case of which one background voxel alone is annotated."""
    case = stored(folder, Content(shape, None))
    classes = np.full(shape, IGNORED, np.uint8)
    classes[annotated] = 0
    nothing = np.zeros((0, len(shape)), np.int32)
    prepared = PreparedCase(
        name=folder.name,
        image=PreparedImage(voxels=case.read_image(), restoration=case.record.restoration),
        classes=classes,
        foreground=(np.array([annotated], np.int32), nothing),
    )
    save_case(prepared, folder, shape, key="key", content_key="key")
    return open_case(folder)


def test_every_patch_of_a_sparsely_annotated_case_shows_an_annotated_voxel(tmp_path: Path) -> None:
    case = sparse(tmp_path / "a", (40, 60, 60), (3, 50, 20))
    sampling = replace(SAMPLING, ignored_index=IGNORED, augmentations=REFERENCE_AUGMENTATIONS)
    for step in range(3):
        batch = draw_batch((case,), replace(sampling, augmentations=()), "train", step)
        assert [(patch == 0).sum() for patch in batch.labels] == [1] * 4
    changed = draw_batch((case,), sampling, "train", 0)
    assert set(np.unique(changed.labels)) <= {0, IGNORED}
    assert np.mean(changed.labels == IGNORED) > 0.9


def test_what_is_outside_the_image_is_ignored_where_voxels_are(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((4, 5, 5), (2, 2, 2)))
    plain = draw_batch((case,), SAMPLING, "train", 0)
    assert set(np.unique(plain.labels)) == {0, 1}
    ignoring = draw_batch((case,), replace(SAMPLING, ignored_index=IGNORED), "train", 0)
    for image, labels in zip(ignoring.images, ignoring.labels, strict=True):
        assert np.array_equal(labels == IGNORED, image[0] == 0)


def test_augmentations_too_leave_the_outside_ignored(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((4, 5, 5), (2, 2, 2)))
    spatial = (Spatial(rotation_probability=1.0),)
    sampling = replace(SAMPLING, ignored_index=IGNORED, augmentations=spatial)
    for labels in draw_batch((case,), sampling, "train", 1).labels:
        assert labels[0, 0, 0] == labels[-1, -1, -1] == IGNORED
        assert set(np.unique(labels)) <= {0, 1, IGNORED}
        assert (labels == 0).any()


def with_cascade_input(folder: Path, content: Content) -> StoredCase:
    """Save a case whose previous stage predicted class 1 in the front and 2 in the back half."""
    case = stored(folder / "case", content)
    predicted = np.ones(content.shape, np.uint8)
    predicted[content.shape[0] // 2 :] = 2
    record = CascadeInputRecord(name=folder.name, key="key")
    save_cascade_input(predicted, folder / "cascade_input", record, SAMPLING.patch_shape)
    return replace(case, cascade_input=open_cascade_input(folder / "cascade_input"))


def test_the_previous_stage_adds_a_channel_per_class_at_the_same_place(tmp_path: Path) -> None:
    case = with_cascade_input(tmp_path, Content((20, 30, 30), (10, 15, 15)))
    sampling = replace(SAMPLING, num_cascade_channels=2)
    seen = set()
    for step in range(4):
        batch = draw_batch((case,), sampling, "train", step)
        assert batch.images.shape == (4, 3, 6, 8, 8)
        positions = (batch.images[:, 0].astype(np.int64) - 1) // (30 * 30)
        np.testing.assert_array_equal(batch.images[:, 1], positions < 10)
        np.testing.assert_array_equal(batch.images[:, 2], positions >= 10)
        seen |= set(np.unique(batch.images[:, 1]))
    assert seen == {0, 1}


def test_without_the_cascade_input_a_patch_is_what_it_was(tmp_path: Path) -> None:
    case = with_cascade_input(tmp_path, Content((20, 30, 30), (10, 15, 15)))
    plain = replace(SAMPLING, augmentations=REFERENCE_AUGMENTATIONS)
    both = replace(plain, num_cascade_channels=2)
    for step in range(3):
        alone = draw_batch((case,), plain, "train", step)
        joined = draw_batch((case,), both, "train", step)
        np.testing.assert_array_equal(alone.images, joined.images[:, :1])
        np.testing.assert_array_equal(alone.labels, joined.labels)


def test_outside_the_image_nothing_was_predicted(tmp_path: Path) -> None:
    case = with_cascade_input(tmp_path, Content((4, 6, 6), None))
    sampling = replace(SAMPLING, num_cascade_channels=2)
    images = draw_batch((case,), sampling, "validation", 0).images
    np.testing.assert_array_equal(images[:, 1:].sum(axis=1), images[:, 0] > 0)


def test_the_cascade_input_moves_with_the_image(tmp_path: Path) -> None:
    case = with_cascade_input(tmp_path, Content((20, 30, 30), (10, 15, 15)))
    sampling = replace(SAMPLING, num_cascade_channels=2, augmentations=(Mirroring(axes=(0,)),))
    upside_down = 0
    for step in range(4):
        images = draw_batch((case,), sampling, "train", step).images
        positions = (images[:, 0].astype(np.int64) - 1) // (30 * 30)
        np.testing.assert_array_equal(images[:, 2], positions >= 10)
        upside_down += np.count_nonzero(positions[:, 0, 0, 0] > positions[:, -1, 0, 0])
    assert upside_down > 0


def test_augmentations_of_the_cascade_input_leave_image_and_labels_alone(tmp_path: Path) -> None:
    case = with_cascade_input(tmp_path, Content((20, 30, 30), (10, 15, 15)))
    plain = replace(SAMPLING, num_cascade_channels=2)
    changing = (CascadeMorphology(probability=1.0), CascadeComponents(probability=1.0))
    changed = 0
    for step in range(4):
        before = draw_batch((case,), plain, "train", step)
        after = draw_batch((case,), replace(plain, augmentations=changing), "train", step)
        changed += np.count_nonzero(before.images[:, 1:] != after.images[:, 1:])
        assert before.images.shape == after.images.shape
    assert changed > 0
    alone = replace(SAMPLING, augmentations=changing)
    np.testing.assert_array_equal(
        draw_batch((case,), replace(alone, num_cascade_channels=2), "train", 0).images[:, :1],
        draw_batch((case,), alone, "train", 0).images,
    )


@pytest.mark.parametrize("spot", [(0, 29, 0), (10, 15, 15), (19, 0, 29)])
def test_images_have_a_margin_that_is_mirrored_and_labels_have_not(
    tmp_path: Path, spot: tuple[int, ...]
) -> None:
    case = stored(tmp_path / "a", Content((20, 30, 30), spot))
    margin = (3, 0, 12)
    batch = draw_batch((case,), replace(SAMPLING, margin=margin), "train", 0)
    assert batch.images.shape == (4, 1, 12, 8, 32)
    assert batch.labels.shape == (4, 6, 8, 8)
    whole, _ = case.read_patch((0, 0, 0), (20, 30, 30))
    around = np.pad(whole[0], [(edge, edge) for edge in margin], mode="reflect")
    for image, labels in zip(batch.images[2:, 0], batch.labels[2:], strict=True):
        centre = image[3:9, :, 12:20]
        place = np.argwhere(whole[0] == centre[0, 0, 0])[0]
        box = tuple(slice(at, at + size) for at, size in zip(place, image.shape, strict=True))
        np.testing.assert_array_equal(image, around[box])
        np.testing.assert_array_equal(np.argwhere(labels)[0] + place, spot)


def test_a_small_image_with_a_margin_is_mirrored_with_its_labels(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((2, 30, 30), (1, 15, 15)))
    batch = draw_batch((case,), replace(SAMPLING, margin=(1, 1, 1)), "train", 0)
    assert (batch.images > 0).all()
    image = batch.images[0, 0]
    np.testing.assert_array_equal(image[:-2], image[2:])
    for labels in batch.labels[2:]:
        assert labels[:, 4, 4].sum() == 3


def test_augmentations_get_the_margin_too(tmp_path: Path) -> None:
    case = stored(tmp_path / "a", Content((20, 30, 30), (10, 15, 15)))
    sampling = replace(SAMPLING, margin=(4, 4, 4), augmentations=REFERENCE_AUGMENTATIONS)
    for step in range(3):
        batch = draw_batch((case,), sampling, "train", step)
        assert batch.images.shape == (4, 1, 14, 16, 16)
        assert batch.labels.shape == (4, 6, 8, 8)


def test_the_cascade_input_has_the_margin_of_the_image(tmp_path: Path) -> None:
    case = with_cascade_input(tmp_path, Content((20, 30, 30), (0, 15, 29)))
    sampling = replace(SAMPLING, num_cascade_channels=2, margin=(3, 0, 12))
    batch = draw_batch((case,), sampling, "train", 0)
    assert batch.images.shape == (4, 3, 12, 8, 32)
    voxels = batch.images[:, 0].astype(np.int64) - 1
    predicted = case.read_cascade_input((0, 0, 0), (20, 30, 30)).reshape(-1)[voxels]
    for index in (1, 2):
        np.testing.assert_array_equal(batch.images[:, index], predicted == index)


VOXELS = replace(SAMPLING, patch_shape=(1, 1, 1), batch_size=400, foreground_fraction=1.0)


def with_targets(folder: Path, shape, targets, voxels=None) -> StoredCase:
    """Save a case with the given voxels of each target; by default voxels hold their position."""
    if voxels is None:
        voxels = np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(1, *shape)
    classes = np.zeros(shape, np.uint8)
    for index, spots in enumerate(targets, start=1):
        classes[tuple(np.array(spots, np.int32).reshape(-1, len(shape)).T)] = index
    prepared = PreparedCase(
        name=folder.name,
        image=PreparedImage(voxels, InverseTransform.uncropped(shape, (1.0,) * len(shape))),
        classes=classes,
        foreground=(
            np.zeros((0, len(shape)), np.int32),
            *(np.array(spots, np.int32).reshape(-1, len(shape)) for spots in targets),
        ),
    )
    save_case(prepared, folder, shape, key="key", content_key="key")
    return open_case(folder)


def test_every_voxel_of_every_target_is_a_centre_and_targets_equally_often(tmp_path) -> None:
    large = [(z, y, x) for z in range(4) for y in range(5) for x in range(6)]
    small = [(9, 1, 1), (9, 8, 8)]
    case = with_targets(tmp_path / "a", (10, 10, 10), (large, small))
    batch = draw_batch((case,), VOXELS, "train", 0)
    shares = Counter(batch.labels.ravel().tolist())
    assert 0.4 < shares[2] / 400 < 0.6  # of 122 foreground voxels, class 2 has 2
    assert shares[0] == 0
    found = {tuple(np.unravel_index(int(v) - 1, (10, 10, 10))) for v in batch.images.ravel()}
    assert found >= set(small)
    assert {place[0] for place in found} == {0, 1, 2, 3, 9}
    assert len(found) > 80


def test_rare_targets_are_centres_as_often_as_their_weights(tmp_path) -> None:
    targets = tuple([(0, 0, at), (1, 1, at)] for at in range(3))
    case = with_targets(tmp_path / "a", (10, 10, 10), targets)
    weighted = replace(VOXELS, target_weights=(1.0, 2.0, 5.0), batch_size=4000)
    shares = Counter(draw_batch((case,), weighted, "train", 0).labels.ravel().tolist())
    assert [round(shares[value] / 4000, 2) for value in (1, 2, 3)] == pytest.approx(
        [0.125, 0.25, 0.625], abs=0.03
    )


def test_weights_of_targets_count_among_those_of_the_case(tmp_path) -> None:
    case = with_targets(tmp_path / "a", (10, 10, 10), ([(0, 0, 0)], [], [(9, 9, 9)]))
    weighted = replace(VOXELS, target_weights=(1.0, 1000.0, 3.0), batch_size=4000)
    shares = Counter(draw_batch((case,), weighted, "train", 0).labels.ravel().tolist())
    assert shares.keys() == {1, 3}
    assert shares[3] / 4000 == pytest.approx(0.75, abs=0.03)


def test_equal_weights_draw_the_same_batches_as_none(tmp_path) -> None:
    targets = tuple([(at, at, at), (at, 0, at)] for at in range(5))
    case = with_targets(tmp_path / "a", (10, 10, 10), targets)
    equal = draw_batch((case,), replace(VOXELS, target_weights=(0.7,) * 5), "train", 3)
    np.testing.assert_array_equal(equal.images, draw_batch((case,), VOXELS, "train", 3).images)


@pytest.mark.parametrize("count", range(1, 120))
def test_equally_probable_targets_are_chosen_as_before(count) -> None:
    numbers = [at / count for at in range(count)] + [np.nextafter(1.0, 0.0), 0.5]
    for drawn in map(float, numbers):
        assert chosen_index([1.0] * count, drawn) == int(drawn * count)


def test_weights_of_targets_are_powers_of_their_inverse_frequency() -> None:
    frequencies = (0.75, 0.16, 0.01, 0.0, 0.04)
    labels = LabelScheme(names=("background", *"abcd"), values=(0, 1, 2, 3, 4))
    assert target_weights(frequencies, labels, 0.0) == ()
    assert target_weights(frequencies, labels, 0.5) == pytest.approx((2.5, 10.0, 1.0, 5.0))
    regions = (
        Region(name="both", values=(1, 2), written_as=1),
        Region(name="one", values=(2,), written_as=2),
    )
    overlapping = labels.model_copy(update={"regions": regions})
    assert target_weights(frequencies, overlapping, 1.0) == pytest.approx((1 / 0.17, 100.0))


def test_where_a_patch_lies_does_not_depend_on_its_case(tmp_path) -> None:
    shape = (4, 4, 4)
    cases = [
        with_targets(
            tmp_path / name,
            shape,
            ([(0, 0, 0)],),
            voxels=first + np.arange(64.0, dtype=np.float32).reshape(1, *shape),
        )
        for name, first in (("a", 1), ("b", 101))
    ]
    plain = replace(VOXELS, foreground_fraction=0.0, batch_size=1500)
    found = set(draw_batch(tuple(cases), plain, "train", 0).images.ravel().tolist())
    assert found == {*range(1, 65), *range(101, 165)}


@pytest.mark.parametrize(("size", "on_foreground"), [(2, 1), (3, 1), (4, 1), (5, 2), (12, 4)])
def test_a_third_of_a_batch_is_centred_on_foreground(tmp_path, size, on_foreground) -> None:
    case = stored(tmp_path / "a", Content((20, 30, 30), (10, 15, 15)))
    sampling = replace(VOXELS, batch_size=size, foreground_fraction=0.33)
    for step in range(4):
        labels = draw_batch((case,), sampling, "train", step).labels.ravel()
        assert labels.tolist() == [0] * (size - on_foreground) + [1] * on_foreground


def test_the_mask_is_what_is_nonzero_in_any_channel_whatever_the_labels(tmp_path) -> None:
    shape = (6, 8, 8)
    voxels = np.zeros((3, *shape), np.float32)
    voxels[0, :2] = voxels[1, 2:4] = 1.0  # the two channels that are masked
    case = with_targets(tmp_path / "a", shape, ([(0, 0, 0)],), voxels=voxels)
    noise = GaussianNoise(probability=1.0, deviation=(0.1, 0.1))
    sampling = replace(SAMPLING, masked_channels=(0, 1), augmentations=(noise,))
    images = draw_batch((case,), sampling, "train", 0).images
    assert (images[:, :2, :4] != 0).all()
    assert (images[:, :2, 4:] == 0).all()
    assert (images[:, 2] != 0).all()


@pytest.mark.parametrize(
    ("shape", "flat"),
    [
        ((4, 16, 16), True),
        ((5, 15, 15), False),
        ((16, 16, 16), False),
        ((16, 16, 4), False),
        ((4, 16), False),
    ],
)
def test_a_patch_of_few_planes_is_only_turned_within_them(shape, flat) -> None:
    assert replace(SAMPLING, patch_shape=shape).context.in_plane_only is flat
