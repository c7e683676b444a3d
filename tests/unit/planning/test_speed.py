import pytest

from autoseg.documents.machine import StepCosts
from autoseg.planning.speed import TimedStep, fitted_costs

TRUE = StepCosts(
    seconds_per_step=0.02,
    seconds_per_billion_multiplications=0.01,
    seconds_per_million_activations=0.004,
)
SIZES = ((1e6, 1e5), (2e9, 8e6), (8e9, 16e6), (20e9, 12e6))


def timed(costs, noise=(1.0, 1.0, 1.0, 1.0)):
    return [
        TimedStep(m, a, costs.seconds(multiplications=m, activations=a) * factor)
        for (m, a), factor in zip(SIZES, noise, strict=True)
    ]


def test_costs_are_found_again_from_steps_that_have_them():
    found = fitted_costs(timed(TRUE))
    for field, value in TRUE.model_dump().items():
        assert getattr(found, field) == pytest.approx(value, rel=1e-6)


def test_noise_of_a_tenth_moves_a_prediction_by_no_more_than_a_fifth():
    found = fitted_costs(timed(TRUE, (1.1, 0.9, 1.1, 0.9)))
    size = {"multiplications": 5e9, "activations": 12e6}
    assert found.seconds(**size) == pytest.approx(TRUE.seconds(**size), rel=0.2)


def test_no_cost_is_negative_where_wide_networks_seem_cheaper_than_narrow_ones():
    found = fitted_costs(timed(TRUE, (1.0, 3.0, 1.0, 0.3)))
    assert min(found.model_dump().values()) >= 0
