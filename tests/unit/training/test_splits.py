import pytest

from autoseg.core.errors import TrainingError
from autoseg.training.splits import make_splits

CASES = tuple(f"case_{index:02d}" for index in range(23))


def test_five_folds_hold_out_every_case_once() -> None:
    folds = make_splits(CASES, {}).folds
    assert len(folds) == 5
    held_out = [name for fold in folds for name in fold.validation]
    assert sorted(held_out) == sorted(CASES)
    assert {len(fold.validation) for fold in folds} == {4, 5}


def test_training_and_validation_never_share_a_case() -> None:
    for fold in make_splits(CASES, {}).folds:
        assert not set(fold.train) & set(fold.validation)
        assert set(fold.train) | set(fold.validation) == set(CASES)


def test_the_split_does_not_depend_on_the_order_of_the_cases() -> None:
    assert make_splits(CASES, {}) == make_splits(tuple(reversed(CASES)), {})


def test_a_patient_is_never_on_both_sides() -> None:
    groups = {name: f"patient_{index // 3}" for index, name in enumerate(CASES)}
    for fold in make_splits(CASES, groups).folds:
        trained = {groups[name] for name in fold.train}
        assert not trained & {groups[name] for name in fold.validation}


def test_three_cases_are_left_out_one_by_one() -> None:
    splits = make_splits(("a", "b", "c"), {})
    assert [len(fold.validation) for fold in splits.folds] == [1, 1, 1]
    assert "only 3 cases" in splits.reason


def test_a_single_case_trains_and_says_that_its_score_means_little() -> None:
    splits = make_splits(("only",), {})
    assert splits.folds[0].train == splits.folds[0].validation == ("only",)
    assert "scores are meaningless" in splits.reason


def test_a_fold_that_does_not_exist_is_refused_with_the_ones_that_do() -> None:
    with pytest.raises(TrainingError, match="folds 0 to 4"):
        make_splits(CASES, {}).fold(5)


def test_cases_are_shuffled_before_they_are_dealt_out() -> None:
    """Names often follow scanners or hospitals: in their order, each fifth would go together."""
    names = tuple(f"case_{index:02d}" for index in range(25))
    in_order = [set(names[fold::5]) for fold in range(5)]
    found = [set(fold.validation) for fold in make_splits(names, {}).folds]
    assert all(held_out not in in_order for held_out in found)


def test_large_groups_are_dealt_out_first_so_that_folds_are_of_one_size() -> None:
    names = tuple(f"case_{index:02d}" for index in range(25))
    groups = dict.fromkeys(names[:5], "large")  # and 20 patients of one case each
    sizes = [len(fold.validation) for fold in make_splits(names, groups).folds]
    assert sizes == [5] * 5
