import pytest

from autoseg.planning.weights import class_weights


def test_a_rare_class_weighs_the_square_root_of_its_rarity():
    assert class_weights((0.9, 0.04, 0.04, 0.01)).value == (1.0, 1.0, 1.0, 2.0)


def test_weights_are_bounded():
    assert class_weights((0.5, 0.4, 1e-2, 1e-9)).value == (1.0, 0.5, 1.0, 3.0)


def test_a_single_foreground_class_needs_no_weights():
    assert class_weights((0.99, 0.01)).value is None


def test_equally_frequent_classes_need_no_weights():
    assert class_weights((0.8, 0.1, 0.1)).value is None


def test_a_class_that_never_occurs_weighs_one():
    assert class_weights((0.9, 0.08, 0.02, 0.0)).value == pytest.approx(
        (1.0, 0.791, 1.581, 1.0), abs=1e-3
    )


def test_a_dataset_without_foreground_needs_no_weights():
    assert class_weights((1.0, 0.0, 0.0)).value is None


def test_regions_overlap_and_get_no_weights():
    choice = class_weights((0.9, 0.09, 0.01), has_regions=True)
    assert choice.value is None
    assert "overlap" in choice.reason
