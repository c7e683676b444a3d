import pytest

from autoseg.benchmarking.loading import augmentation_share
from autoseg.benchmarking.target import names_like_a_fold
from autoseg.benchmarking.timing import RowLabel, TimedPair, throughput
from autoseg.training.reading import KEPT_BYTES


def test_cases_of_a_small_dataset_are_kept_in_memory_as_its_folds_are():
    assert names_like_a_fold(("a", "b"), 2000, 100) == ("a", "b")


def test_cases_of_a_large_dataset_are_too_many_to_be_kept_as_its_folds_are():
    each = KEPT_BYTES // 10
    names = names_like_a_fold(("a", "b"), 2 * each, 100)
    assert set(names) == {"a", "b"}
    assert len(names) * each > KEPT_BYTES
    assert names_like_a_fold(("a", "b"), 2 * each, 9) == ("a", "b")


@pytest.mark.parametrize(("seconds", "share"), [(4.0, 0.75), (1.0, 0.0), (0.9, 0.0)])
def test_the_share_of_augmentation_is_what_is_left_without_reading(seconds, share):
    row = throughput([TimedPair(seconds, 1.0)], 1.0, RowLabel("loader", "batches", "this", "that"))
    assert augmentation_share(row) == share
