import numpy as np

from autoseg.preprocessing import foreground
from autoseg.preprocessing.foreground import sample_foreground


def test_all_voxels_of_a_small_class_are_listed_in_array_order() -> None:
    classes = np.random.default_rng(0).integers(0, 4, (6, 7, 8)).astype(np.uint8)
    background, *found = sample_foreground(classes, 5, "case")
    assert background.shape == (0, 3)
    for value, positions in enumerate(found, start=1):
        assert positions.dtype == np.int32
        assert np.array_equal(positions, np.argwhere(classes == value))


def test_two_dimensional_cases_have_two_coordinates() -> None:
    classes = np.zeros((5, 6), dtype=np.uint16)
    classes[2, 3] = 1
    assert sample_foreground(classes, 2, "case")[1].tolist() == [[2, 3]]


def test_a_large_class_is_sampled_without_repetition(monkeypatch) -> None:
    monkeypatch.setattr(foreground, "SMALLEST_SAMPLE", 50)
    classes = np.zeros((10, 30, 30), dtype=np.uint8)
    classes[1:9] = 2
    classes[:, :, :3] = 1
    _, one, two = sample_foreground(classes, 3, "case")
    assert (len(one), len(two)) == (50, 65)  # at least 50, or 1 % of 6480 rounded up
    assert len(np.unique(two, axis=0)) == 65
    assert np.all(classes[tuple(two.T)] == 2)
    assert len(np.unique(two[:, 0])) > 4  # from all over the volume


def test_a_huge_class_is_capped(monkeypatch) -> None:
    monkeypatch.setattr(foreground, "LARGEST_SAMPLE", 20)
    assert len(sample_foreground(np.ones((9, 9), dtype=np.uint8), 2, "case")[1]) == 20


def test_the_draw_depends_on_the_case_alone(monkeypatch) -> None:
    monkeypatch.setattr(foreground, "SMALLEST_SAMPLE", 10)
    classes = np.ones((20, 20), dtype=np.uint8)
    first, again, other = (
        sample_foreground(classes, 2, name)[1].tolist() for name in ("a", "a", "b")
    )
    assert first == again
    assert first != other
