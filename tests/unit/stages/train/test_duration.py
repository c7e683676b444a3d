import pytest

from autoseg.core.errors import TrainingError
from autoseg.documents.recipe import Budget, Iterations, Recipe
from autoseg.stages.train.duration import TrainingDuration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("8h", 28800), ("1h30m", 5400), ("2d", 172800), ("0.5h", 1800)],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["30", "", "soon", "5x", "m", "-3m", "0s", "1h 5"])
def test_other_texts_are_refused_with_examples(text: str) -> None:
    with pytest.raises(TrainingError):
        parse_duration(text)


def test_the_reference_is_a_thousand_epochs() -> None:
    assert TrainingDuration().length(Recipe()) == Iterations(total=250_000)
    assert TrainingDuration(epochs=3).length(Recipe()) == Iterations(total=750)


def test_a_budget_is_a_time() -> None:
    assert TrainingDuration(budget="2m").length(Recipe()) == Budget(seconds=120)


def test_two_durations_are_rejected() -> None:
    with pytest.raises(TrainingError, match="--epochs and --budget"):
        TrainingDuration(epochs=3, budget="2m").length(Recipe())


def test_the_budget_of_the_plan_is_the_default_duration() -> None:
    assert TrainingDuration().length(Recipe(), 90.0) == Budget(seconds=90)
    assert TrainingDuration(epochs=3).length(Recipe(), 90.0) == Iterations(total=750)
    assert TrainingDuration(iterations=5).length(Recipe(), 90.0) == Iterations(total=5)
    assert TrainingDuration(budget="2m").length(Recipe(), 90.0) == Budget(seconds=120)
