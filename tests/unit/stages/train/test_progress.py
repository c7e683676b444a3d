from autoseg.documents.recipe import Budget, Iterations
from autoseg.stages.train.progress import forecast_message


def test_a_training_of_days_comes_with_advice_that_works_after_an_interruption() -> None:
    long = forecast_message(Iterations(total=250_000), 2.0)
    assert "5.79 days" in long
    assert "--restart --budget 2h" in long  # the checkpoint belongs to the other length


def test_a_short_training_is_forecast_without_advice() -> None:
    assert "--budget" not in forecast_message(Iterations(total=250_000), 0.1)
    assert "about 600 steps in 20 min" in forecast_message(Budget(seconds=1200), 2.0)


def test_one_step_takes_and_two_take() -> None:
    assert "1 step takes 2 s" in forecast_message(Iterations(total=1), 2.0)
    assert "2 steps take 4 s" in forecast_message(Iterations(total=2), 2.0)
