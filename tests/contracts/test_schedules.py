"""Every registered schedule keeps the same promises; a new file is tested automatically."""

from itertools import pairwise

import pytest

from autoseg.documents.recipe import Recipe
from autoseg.schedules import SCHEDULES, Schedule

INTERVALS = 10_000
WARM_UPS = [0.0, 0.1, 1.0]
WARM_UP = 0.1


@pytest.fixture(params=list(SCHEDULES))
def kind(request: pytest.FixtureRequest) -> type[Schedule]:
    return SCHEDULES[request.param]


def rates(schedule: Schedule, *, until: float = 1.0) -> list[float]:
    """Return the learning rates for a peak of 1."""
    steps = round(INTERVALS * until)
    return [schedule.learning_rate(1.0, step / INTERVALS) for step in range(steps + 1)]


@pytest.mark.parametrize("warm_up", WARM_UPS)
def test_its_factor_is_between_0_and_1(kind: type[Schedule], warm_up: float) -> None:
    found = rates(kind(warm_up=warm_up))
    assert min(found) >= 0
    assert max(found) <= 1


@pytest.mark.parametrize("warm_up", WARM_UPS)
def test_it_is_continuous(kind: type[Schedule], warm_up: float) -> None:
    found = rates(kind(warm_up=warm_up))
    assert max(abs(after - before) for before, after in pairwise(found)) < 0.005


@pytest.mark.parametrize("warm_up", WARM_UPS)
def test_it_ends_near_0(kind: type[Schedule], warm_up: float) -> None:
    assert kind(warm_up=warm_up).learning_rate(1.0, 1.0) < 0.01


def test_it_starts_at_the_peak(kind: type[Schedule]) -> None:
    assert kind().learning_rate(0.03, 0.0) == pytest.approx(0.03)


def test_its_warm_up_rises_from_above_0_to_the_rate_without_one(kind: type[Schedule]) -> None:
    plain, warmed = kind(), kind(warm_up=WARM_UP)
    found = rates(warmed, until=0.8 * WARM_UP)
    assert 0 < found[0] < 0.02
    assert all(before < after for before, after in pairwise(found))
    for progress in (WARM_UP, 0.5, 1.0):
        assert warmed.learning_rate(1.0, progress) == plain.learning_rate(1.0, progress)


def test_it_round_trips_through_the_json_of_a_recipe(kind: type[Schedule]) -> None:
    recipe = Recipe(schedule=kind(warm_up=0.25))
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert SCHEDULES.parse(kind.model_fields["kind"].default) == kind()
