import pytest

from autoseg.schedules.cosine import Cosine


@pytest.mark.parametrize(
    ("progress", "factor"), [(0.0, 1.0), (1 / 3, 0.75), (0.5, 0.5), (2 / 3, 0.25), (1.0, 0.0)]
)
def test_the_rate_follows_half_a_period(progress: float, factor: float) -> None:
    assert Cosine().learning_rate(0.02, progress) == pytest.approx(0.02 * factor)
