import pytest

from autoseg.schedules.polynomial import Polynomial


def test_the_rate_falls_from_its_peak_to_zero() -> None:
    schedule = Polynomial()
    assert schedule.learning_rate(0.01, 0.0) == pytest.approx(0.01)
    assert schedule.learning_rate(0.01, 0.5) == pytest.approx(0.01 * 0.5**0.9)
    assert schedule.learning_rate(0.01, 1.0) == 0.0


def test_the_warm_up_multiplies_the_decay() -> None:
    schedule = Polynomial(warm_up=0.1)
    assert schedule.learning_rate(0.01, 0.0) == pytest.approx(0.01 * 0.01)
    assert schedule.learning_rate(0.01, 0.049) == pytest.approx(0.01 * 0.5 * 0.951**0.9)
    assert schedule.learning_rate(0.01, 0.1) == pytest.approx(0.01 * 0.9**0.9)


def test_another_exponent_gives_another_decay() -> None:
    assert Polynomial(exponent=2.0).learning_rate(1.0, 0.75) == pytest.approx(0.0625)
