"""Every registered optimiser keeps the same promises; a new file is tested automatically."""

import copy

import pytest
import torch
from torch import nn

from autoseg.documents.recipe import Recipe
from autoseg.optimizers import OPTIMIZERS, Optimizer

DTYPES = [torch.float32, torch.float16]
"""Data types of convolutions; the weights are in float32 with both."""

STEPS = 200
WEIGHTS = 1000


@pytest.fixture(params=list(OPTIMIZERS))
def config(request: pytest.FixtureRequest) -> Optimizer:
    return OPTIMIZERS[request.param]()


def start() -> nn.Parameter:
    return nn.Parameter(torch.linspace(-1.0, 1.0, WEIGHTS))


def take(steps: int, weights: nn.Parameter, optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Minimise a quadratic whose curvatures differ by a factor of 10."""
    curvature = torch.linspace(0.5, 5.0, WEIGHTS)
    for _ in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        (curvature * weights.square()).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_it_reduces_a_quadratic(config: Optimizer, dtype: torch.dtype) -> None:
    weights = start()
    before = weights.detach().square().sum()
    take(STEPS, weights, config.build((weights,), dtype), rate=0.01)
    assert weights.detach().square().sum() < 0.5 * before


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_it_takes_the_learning_rate_that_is_set_before_a_step(
    config: Optimizer, dtype: torch.dtype
) -> None:
    weights = start()
    optimizer = config.build((weights,), dtype)
    take(3, weights, optimizer, rate=0.0)
    torch.testing.assert_close(weights.detach(), start().detach(), rtol=0, atol=0)
    take(1, weights, optimizer, rate=0.01)
    assert not torch.equal(weights, start())


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_its_states_per_weight_are_those_that_torch_allocates(
    config: Optimizer, dtype: torch.dtype
) -> None:
    weights = start()
    optimizer = config.build((weights,), dtype)
    take(1, weights, optimizer, rate=0.01)
    kept = [value for state in optimizer.state.values() for value in state.values()]
    assert sum(value.nbytes for value in kept) // (4 * WEIGHTS) == config.states_per_weight


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_it_resumes_exactly_from_the_tensors_of_its_state(
    config: Optimizer, dtype: torch.dtype
) -> None:
    weights = start()
    optimizer = config.build((weights,), dtype)
    take(3, weights, optimizer, rate=0.01)
    saved = copy.deepcopy(optimizer.state_dict()["state"])
    assert all(
        isinstance(value, torch.Tensor) for entry in saved.values() for value in entry.values()
    )
    again = nn.Parameter(weights.detach().clone())
    resumed = config.build((again,), dtype)
    resumed.load_state_dict({**resumed.state_dict(), "state": saved})
    take(3, weights, optimizer, rate=0.005)
    take(3, again, resumed, rate=0.005)
    assert torch.equal(weights, again)


def test_it_round_trips_through_the_json_of_a_recipe(config: Optimizer) -> None:
    changed = config.model_copy(update={"learning_rate": 0.5})
    recipe = Recipe(optimizer=changed)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert OPTIMIZERS.parse({"kind": config.kind}) == config


def test_a_fine_tuning_has_a_smaller_learning_rate(config: Optimizer) -> None:
    assert 0 < config.fine_tuning_factor < 1
