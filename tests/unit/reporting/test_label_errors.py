"""Suspicious labels: thick contradictions are found, uncertain borders are not."""

import numpy as np

from autoseg.reporting.label_errors import ConfidenceSums, find_label_errors, merged


def test_thresholds_are_the_mean_probabilities_of_labelled_voxels():
    sums = ConfidenceSums.empty(1)
    probabilities = np.array([0.9, 0.7, 0.2, 0.4, 0.0])
    sums.add(0, probabilities, np.array([True, True, False, False, False]))
    present, absent = sums.thresholds
    assert np.allclose(present, 0.8)
    assert np.allclose(absent, 0.7)  # voxels that are ruled out do not count


def test_sums_of_cases_are_those_of_all_voxels():
    generator = np.random.default_rng(0)
    whole, parts = ConfidenceSums.empty(2), []
    for _ in range(3):
        part = ConfidenceSums.empty(2)
        for target in range(2):
            values = generator.random(50), generator.random(50) < 0.5
            for sums in (whole, part):
                sums.add(target, *values)
        parts.append(part)
    total = merged(parts, 2)
    assert total.cases == 3
    for name in ("positive", "negative", "bins"):
        assert np.allclose(getattr(total, name), getattr(whole, name))


def test_calibrated_probabilities_are_on_the_diagonal():
    generator = np.random.default_rng(0)
    probabilities = generator.random(200_000)
    sums = ConfidenceSums.empty(1)
    sums.add(0, probabilities, generator.random(200_000) < probabilities)
    found = sums.reliability
    assert np.allclose(found.probabilities, found.shares, atol=0.02)
    assert len(found.shares) == 15


def test_a_thick_region_counts_and_a_shell_does_not():
    missing, extra = np.zeros((20, 20, 20), np.uint8), np.zeros((20, 20, 20), np.uint8)
    missing[2:7, 2:7, 2:7] = 2  # 125 voxels, 27 inside
    extra[10, 3:18, 3:18] = 1  # one voxel thick
    found = find_label_errors("case", missing, extra, foreground=1000)
    assert found.score == 27 / 1000
    (region,) = found.regions
    assert (region.target, region.is_missing, region.voxels) == (1, True, 125)
    assert region.centre == (4, 4, 4)


def test_a_case_without_contradictions_has_no_score():
    empty = np.zeros((5, 5), np.uint8)
    assert find_label_errors("case", empty, empty, foreground=0).score == 0
