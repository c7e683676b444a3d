"""Outliers, near-duplicates, error groups and surface distances, on data with known answers."""

import numpy as np
import pytest

from autoseg.core.labels import LabelScheme
from autoseg.reporting.case_look import CaseArrays, error_voxels, look_at
from autoseg.reporting.duplicates import near_duplicates
from autoseg.reporting.outliers import outlier_scores, outliers
from autoseg.reporting.pictures import block_means
from autoseg.reporting.slices import surface_distances
from autoseg.reporting.units import volume_of, volume_unit

LABELS = LabelScheme(names=("background", "a", "b"), values=(0, 1, 2))


def test_only_the_value_far_from_the_others_is_an_outlier():
    values = [10.0, 11.0, 9.0, 10.5, 9.5, 10.2, 9.8, 10.1, None, 30.0]
    assert list(outliers([str(place) for place in range(10)], values)) == ["9"]


def test_one_other_value_among_equal_ones_is_an_outlier():
    assert outlier_scores([1.0] * 20 + [5.0])[-1] > 3.5
    assert set(outlier_scores([1.0] * 20)) == {0.0}


def test_few_values_have_no_outliers():
    assert outliers(list("abc"), [1.0, 1.0, 900.0]) == {}


def noise(seed: int, shape=(40, 40, 40)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)


def test_a_noisy_brighter_copy_of_an_image_is_a_near_duplicate():
    common = np.linspace(0, 40, 40, dtype=np.float32)[None, :, None, None]  # all look alike
    cubes = np.ones((1, 5, 5, 5), np.float32)
    images = [common + np.kron(noise(seed, (8, 8, 8)), cubes) for seed in range(12)]
    images.append(np.float32(1.5) * images[3] + 100 + np.float32(0.1) * noise(99))
    names = [f"case_{place}" for place in range(13)]
    (pair,) = near_duplicates(names, [block_means(image, 16) for image in images])
    assert (pair.first, pair.second) == ("case_3", "case_12")
    assert 0.995 < pair.correlation <= 1


def test_images_without_contrast_are_no_duplicates():
    flat = np.ones((1, 16, 16), np.float32)
    assert near_duplicates(["a", "b"], [block_means(flat, 32)] * 2) == ()


def test_wrong_voxels_are_missed_spurious_or_at_the_border():
    reference, prediction = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    reference[1:4, 1:4] = 1  # missed: 9
    prediction[15:17, 15:17] = 2  # spurious: 4
    reference[8:12, 8:12] = 1
    prediction[8:12, 9:13] = 1  # shifted by one column: 4 + 4
    found = error_voxels(reference, prediction, 3)
    assert (found.missed, found.spurious, found.border, found.reference) == (9, 4, 8, 25)


def test_a_look_counts_components_borders_and_confusions():
    reference = np.zeros((6, 8, 10), np.uint8)
    reference[0, 1:3, 1:3] = 1
    reference[3, 3, 3] = reference[5, 7, 9] = 2
    prediction = np.where(reference == 2, 1, reference).astype(np.uint8)
    case = CaseArrays("case", noise(0, (6, 8, 10)), reference, prediction, (3.0, 1.0, 1.0))
    look = look_at(case, LABELS)
    assert look.touching == (True, True)
    assert look.components == (1, 2)
    assert look.confusion.tolist() == [[474, 0, 0], [0, 4, 0], [0, 2, 0]]
    assert look.thumbnail[:4] == b"RIFF"


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (2.0, 3.0)])
def test_surface_distances_are_measured_in_the_unit_of_the_spacing(spacing):
    reference, prediction = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    reference[5:10, 5:10], prediction[5:10, 5:13] = 1, 2
    distances = surface_distances(reference, prediction, spacing)
    assert distances[7, 12] == pytest.approx(3 * spacing[1])
    assert 0 < distances[7, 5] < 1e-6  # on both surfaces
    assert distances[7, 7] == 0  # inside
    assert not surface_distances(reference, np.zeros_like(prediction), spacing).any()


@pytest.mark.parametrize(
    ("unit", "spacing", "expected"),
    [
        ("mm", (1.0, 2.0, 5.0), ("mL", 1.0)),
        ("µm", (1.0, 1.0, 1.0), ("1000 µm³", 0.1)),
        ("px", (1.0, 1.0), ("px", 100.0)),
        ("mm", (0.5, 0.5), ("mm²", 25.0)),
    ],
)
def test_volumes_have_units_that_people_use(unit, spacing, expected):
    assert (volume_unit(unit, len(spacing)), volume_of(100, spacing)) == expected
