"""Which configurations are worth a full cross-validation, and how a time budget is shared.

Every entrant trains fold 0. Only those that come close to the best go on to the other folds; a
cascade enters once the configuration whose predictions it gets is complete.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from autoseg.core.formatting import number
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import Recipe
from autoseg.planning.forecast import REFERENCE_STEPS, Machine, step_seconds
from autoseg.planning.planned_value import OWN, PlannedValue

FEWEST_STEPS = 1000
"""A budget that gives each training fewer steps than this is spent on the default alone. Source:
docs/pages/experiments.md; the hippocampus reached a Dice of 0.880 in 1205 steps, 0.887 in 3858."""

DICE_MARGIN = 0.02
"""How far fold 0 of a configuration may score below the best and still be trained on: one that is
further off seldom improves an ensemble."""

RESERVED_SHARE = 0.05
"""Share of a budget kept for selecting and writing the model."""

FIRST_OVERHEAD = 0.08
"""Share of a training's time that scoring is expected to take until it is measured, and preparing
until it is done."""

SMALLEST_SECONDS = 1.0
"""Shortest training: when a budget is all but spent, what is left to train still runs."""

Key = tuple[str, int]
"""A configuration and a fold."""


@dataclass(frozen=True)
class TimeLeft:
    """What a budget still allows.

    Attributes:
        seconds: Left of it for training, without what is kept for selecting.
        overhead_seconds: What a training took beside itself so far, on average; None if unknown.
    """

    seconds: float
    overhead_seconds: float | None = None


def run_candidates(
    plan: Plan, num_folds: int, machine: Machine, budget_seconds: float | None
) -> PlannedValue[tuple[str, ...]]:
    """Return the configurations that may be trained, the plan's default first.

    They are those that share the default's recipe: without an accelerator a plan also holds
    configurations for machines that have one, and these are not tried; nor is, of a plan that was
    sized to a time, what was not.

    Args:
        plan: The plan.
        num_folds: Folds of the cross-validation.
        machine: What training will run on.
        budget_seconds: Time for everything; None for no limit.
    """
    default = plan.configuration(None)
    recipe = _without_augmentations(default.recipe)
    names = [configuration.name for configuration in plan.configurations]
    sized = names if plan.budget is None else plan.budget.configurations
    peers = [
        configuration.name
        for configuration in plan.configurations
        if _without_augmentations(configuration.recipe) == recipe and configuration.name in sized
    ]
    ordered = with_stages(plan, (default.name, *peers))
    if budget_seconds is None or len(ordered) == 1:
        reason = f"all that the plan has with the recipe of {default.name}"
        return PlannedValue(ordered, "candidates", reason, OWN)
    first_candidates = [name for name in ordered if plan.configuration(name).previous_stage is None]
    share = first_share(budget_seconds, num_folds, len(first_candidates))
    steps = min(share / _cost(plan.configuration(name), machine) for name in first_candidates)
    num_first = len(first_candidates)
    text = f"time for {number(round(steps))} steps or more of each of {num_first} configurations"
    if steps < FEWEST_STEPS:
        reason = f"{text}, fewer than {FEWEST_STEPS}: the budget goes to the default alone"
        return PlannedValue(with_stages(plan, (default.name,)), "candidates", reason, OWN)
    return PlannedValue(ordered, "candidates", text, OWN)


def first_share(budget_seconds: float, num_folds: int, num_starters: int) -> float:
    """Return the training time of each of the trainings that a run's budget must hold.

    Args:
        budget_seconds: Time for everything.
        num_folds: Folds of the cross-validation.
        num_starters: Configurations whose fold 0 is trained; the best one trains all folds.
    """
    trainings = num_folds + num_starters - 1
    return (1 - RESERVED_SHARE - FIRST_OVERHEAD) * budget_seconds / trainings


def with_stages(plan: Plan, names: Sequence[str]) -> tuple[str, ...]:
    """Return configurations, each once, followed by the previous stages that they need.

    Args:
        plan: The plan.
        names: Names of configurations.

    Raises:
        PlanError: If the plan has none of that name.
    """
    found = {name: plan.configuration(name) for name in names}
    waiting = list(found.values())
    while waiting:
        stage = waiting.pop(0).previous_stage
        if stage is not None and stage not in found:
            found[stage] = plan.configuration(stage)
            waiting.append(found[stage])
    return tuple(found)


def next_training(
    plan: Plan,
    names: Sequence[str],
    num_folds: int,
    dice: Mapping[Key, float],
    affordable: int | None = None,
) -> Key | None:
    """Return the training that should run next, or None when all is done.

    Args:
        plan: The plan.
        names: The candidates.
        num_folds: Folds of the cross-validation.
        dice: Mean Dice of the held-out cases of every finished training.
        affordable: How many more trainings the budget allows; None for any number. The best
            configuration is completed whatever it says; so is a cascade if nothing but its previous
            stage enters beside it.
    """
    first_candidates = [name for name in names if plan.configuration(name).previous_stage is None]
    for name in first_candidates:
        if (name, 0) not in dice:
            return (name, 0)
    for name, must in _survivors(first_candidates, dice):
        missing = [fold for fold in range(num_folds) if (name, fold) not in dice]
        if missing and (must or _allows(affordable, len(missing))):
            return (name, missing[0])
        if not missing:
            chosen = _next_stage(plan, names, name, num_folds, dice, affordable)
            if chosen is not None:
                return chosen
    return None


def training_seconds(remaining: int, left: TimeLeft) -> float:
    """Return how long the next training may take when so many are still to come, it included."""
    share = left.seconds / max(1, remaining)
    overhead = FIRST_OVERHEAD * share if left.overhead_seconds is None else left.overhead_seconds
    return max(SMALLEST_SECONDS, share - overhead)


def trainings_to_come(
    plan: Plan, names: Sequence[str], num_folds: int, dice: Mapping[Key, float]
) -> int:
    """Return how many trainings a budget must still hold: every fold 0, and the best's others.

    Where only a cascade and its previous stage enter, all folds of the cascade come too.
    """
    first_candidates = [name for name in names if plan.configuration(name).previous_stage is None]
    cascades = [name for name in names if name not in first_candidates]
    later = 0
    if _are_only_stages(plan, names, first_candidates):
        later = sum((name, fold) not in dice for name in cascades for fold in range(num_folds))
    first = [name for name in first_candidates if (name, 0) not in dice]
    if first:
        return len(first) + num_folds - 1 + later
    best = _survivors(first_candidates, dice)[0][0]
    return later + sum((best, fold) not in dice for fold in range(1, num_folds))


def reference_seconds(configuration: Configuration, machine: Machine) -> float:
    """Return the predicted time of a training as long as the reference method's."""
    return REFERENCE_STEPS * _cost(configuration, machine)


def _without_augmentations(recipe: Recipe) -> Recipe:
    """Return a recipe without what depends on the number of axes."""
    return recipe.model_copy(update={"augmentations": ()})


def _cost(configuration: Configuration, machine: Machine) -> float:
    return step_seconds(configuration.architecture, configuration.batch_size, machine)


def _survivors(
    first_candidates: Sequence[str], dice: Mapping[Key, float]
) -> list[tuple[str, bool]]:
    """Return who goes on after fold 0, best first, and whether it must."""
    ranked = sorted(first_candidates, key=lambda name: -dice[name, 0])
    best = dice[ranked[0], 0]
    return [(name, name == ranked[0]) for name in ranked if dice[name, 0] >= best - DICE_MARGIN]


def _next_stage(
    plan: Plan,
    names: Sequence[str],
    previous: str,
    num_folds: int,
    dice: Mapping[Key, float],
    affordable: int | None,
) -> Key | None:
    """Return a training of a configuration that gets the predictions of a complete one."""
    best = max(chain([0.0], (value for key, value in dice.items() if key[1] == 0)))
    first_candidates = [name for name in names if plan.configuration(name).previous_stage is None]
    must = _are_only_stages(plan, names, first_candidates)
    for name in names:
        if plan.configuration(name).previous_stage != previous:
            continue
        missing = [fold for fold in range(num_folds) if (name, fold) not in dice]
        if not missing and (after := _next_stage(plan, names, name, num_folds, dice, affordable)):
            return after
        close = (name, 0) not in dice or dice[name, 0] >= best - DICE_MARGIN
        if missing and (must or (close and _allows(affordable, len(missing)))):
            return (name, missing[0])
    return None


def _are_only_stages(plan: Plan, names: Sequence[str], first_candidates: Sequence[str]) -> bool:
    """Return whether all that enters first is trained for a cascade's sake."""
    refined = {plan.configuration(name).previous_stage for name in names}
    return refined >= set(first_candidates)


def _allows(affordable: int | None, wanted: int) -> bool:
    return affordable is None or affordable >= wanted
