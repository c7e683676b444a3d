import pytest
import torch

from autoseg.optimizers.nadam import NAdam


def stepped(config: NAdam, *, gradient: float) -> float:
    """Return a weight of 1 after one step."""
    weight = torch.nn.Parameter(torch.ones(1))
    weight.grad = torch.full((1,), gradient)
    config.build((weight,)).step()
    return float(weight.detach())


def test_its_weight_decay_does_not_pass_through_the_moments() -> None:
    config = NAdam(learning_rate=0.1, weight_decay=0.5)
    assert stepped(config, gradient=0.0) == pytest.approx(1 - 0.1 * 0.5)


def test_its_first_step_is_that_of_the_paper() -> None:
    first, second = (0.9 * (1 - 0.5 * 0.96 ** (step * 0.004)) for step in (1, 2))
    config = NAdam(learning_rate=0.1, weight_decay=0.0)
    # the gradient is 3, its moving average 0.3, and the corrected root of its square 3
    direction = (1 - first) * 3 / (1 - first) + second * 0.3 / (1 - first * second)
    assert stepped(config, gradient=3.0) == pytest.approx(1 - 0.1 * direction / 3, rel=1e-5)
