import pytest

from autoseg.documents.recipe import Budget, Iterations, Recipe
from autoseg.training.position import Position, epoch_steps


def test_progress_of_a_budget_is_time() -> None:
    position = Position(step=3, seconds=30.0)
    assert position.progress(Budget(seconds=120)) == 0.25
    assert position.progress(Iterations(total=30)) == 0.1


def test_progress_never_passes_one() -> None:
    assert Position(step=9, seconds=200.0).progress(Budget(seconds=120)) == 1.0


def test_time_left_follows_the_pace() -> None:
    assert Position(step=10, seconds=20.0).seconds_left(Iterations(total=30)) == 40.0
    assert Position(step=0, seconds=0.0).seconds_left(Iterations(total=30)) is None


@pytest.mark.parametrize(
    ("length", "seconds_per_step", "expected"),
    [
        (Iterations(total=250_000), 1.0, 250),
        (Iterations(total=1000), 1.0, 50),
        (Iterations(total=3), 1.0, 1),
        (Budget(seconds=600), 0.3, 100),
        (Budget(seconds=10), 60.0, 1),
    ],
)
def test_short_trainings_have_short_epochs(length, seconds_per_step, expected) -> None:
    assert epoch_steps(Recipe(), length, seconds_per_step) == expected


def test_a_budget_with_a_limit_ends_by_what_comes_first():
    length = Budget(seconds=100.0, most_steps=50)
    assert Position(step=10, seconds=10.0).progress(length) == pytest.approx(0.2)
    assert Position(step=10, seconds=60.0).progress(length) == pytest.approx(0.6)
    assert Position(step=10, seconds=10.0).seconds_left(length) == pytest.approx(40.0)
    assert Position(step=10, seconds=60.0).seconds_left(length) == pytest.approx(40.0)
    assert Position(step=0, seconds=0.0).seconds_left(length) == pytest.approx(100.0)
    assert length.steps(1.0) == pytest.approx(50.0)
    assert length.steps(10.0) == pytest.approx(10.0)
