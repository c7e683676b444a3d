"""Choose the candidates of a run, schedule their trainings and divide the time budget.

Every candidate trains fold 0. Only candidates that score close to the best one train the other
folds. A cascade becomes a candidate once all folds of its previous stage are trained.
"""

from collections.abc import Mapping, Sequence

from autoseg.core.formatting import format_number
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.recipe import Recipe
from autoseg.documents.run_schedule import RunSchedule
from autoseg.planning.forecast import REFERENCE_STEPS, Machine, step_seconds
from autoseg.planning.planned_value import OWN, PlannedValue

FEWEST_STEPS = 1000
"""Minimum steps per training to compare candidates; with fewer, only the default is trained.
Source: docs/pages/experiments.md; the hippocampus reached a Dice of 0.880 in 1205 steps, 0.887 in
3858."""

DICE_MARGIN = 0.02
"""Maximum Dice difference between a configuration and the best one on fold 0 to train its other
folds: a worse configuration seldom improves an ensemble."""

RESERVED_SHARE = 0.05
"""Minimum share of the budget reserved for selecting and writing the model."""

SELECTION_SHARE = 0.75
"""Time reserved for selecting and writing the model, as a share of a training's longest overhead.
Measured: 7 s against 13 s (0.55) for 200 volumes of the hippocampus in 5 folds."""

FIRST_OVERHEAD = 0.08
"""Assumed share of a training's time for scoring, until it is measured, and for preparing, until it
is done."""

SMALLEST_SECONDS = 1.0
"""Minimum time of a training: the remaining trainings still run when the budget is spent."""

USEFUL_SHARE = 0.25
"""Minimum time of a training, as a share of the longest one so far. A fold that was trained for one
second would spoil the ensemble of all folds."""

Key = tuple[str, int]
"""Configuration name and fold."""


def run_candidates(
    plan: Plan, num_folds: int, machine: Machine, budget_seconds: float | None
) -> PlannedValue[tuple[str, ...]]:
    """Return the candidates of a run, the plan's default first.

    Candidates share the recipe of the default. This excludes the reference configurations if the
    default is a compact one. In a plan that was sized to a time budget, only sized configurations
    are candidates.

    Args:
        plan: The plan.
        num_folds: Number of folds of the cross-validation.
        machine: The machine to train on.
        budget_seconds: Time of the whole run; None for no limit.
    """
    default = plan.configuration(None)
    recipe = _without_augmentations(default.recipe)
    peers = [
        configuration.name
        for configuration in plan.configurations
        if _without_augmentations(configuration.recipe) == recipe
        and (plan.budget is None or configuration.name in plan.budget.configurations)
    ]
    candidates = with_previous_stages(plan, (default.name, *peers))
    if budget_seconds is None or len(candidates) == 1:
        reason = f"all configurations of the plan with the recipe of {default.name}"
        return PlannedValue(candidates, "candidates", reason, OWN)
    first_candidates = _without_cascades(plan, candidates)
    num_first = len(first_candidates)
    share = first_share(budget_seconds, num_folds, num_first)
    steps = min(share / _cost(plan.configuration(name), machine) for name in first_candidates)
    least = format_number(round(steps))
    text = f"time for at least {least} steps of each of {num_first} configurations"
    if steps < FEWEST_STEPS:
        reason = f"{text}, fewer than {FEWEST_STEPS}: only the default is trained"
        return PlannedValue(with_previous_stages(plan, (default.name,)), "candidates", reason, OWN)
    return PlannedValue(candidates, "candidates", text, OWN)


def first_share(budget_seconds: float, num_folds: int, num_first: int) -> float:
    """Return the time of each training if all trainings of a run share its budget equally.

    Args:
        budget_seconds: Time of the whole run.
        num_folds: Number of folds of the cross-validation.
        num_first: Number of configurations that train fold 0; the best one trains all folds.
    """
    trainings = num_folds + num_first - 1
    return (1 - RESERVED_SHARE - FIRST_OVERHEAD) * budget_seconds / trainings


def with_previous_stages(plan: Plan, names: Sequence[str]) -> tuple[str, ...]:
    """Return distinct configurations, followed by the previous stages that they need.

    Raises:
        PlanError: If the plan has no configuration of a name.
    """
    known = list(dict.fromkeys(names))
    for name in known:  # grows during the loop
        stage = plan.configuration(name).previous_stage
        if stage is not None and stage not in known:
            known.append(stage)
    return tuple(known)


def next_training(
    plan: Plan,
    names: Sequence[str],
    num_folds: int,
    dice: Mapping[Key, float],
    affordable: int | None = None,
) -> Key | None:
    """Return the next training to run, or None if all are done.

    Args:
        plan: The plan.
        names: The candidates.
        num_folds: Number of folds of the cross-validation.
        dice: Mean Dice of the held-out cases of every finished training.
        affordable: Number of further trainings that the budget allows; None for any number. It does
            not limit the best configuration, nor a cascade if the only other candidates are its
            previous stages.
    """
    first_candidates = _without_cascades(plan, names)
    for name in first_candidates:
        if (name, 0) not in dice:
            return (name, 0)
    survivors = _survivors(first_candidates, dice)
    for name in survivors:
        is_required = name == survivors[0]
        missing = [fold for fold in range(num_folds) if (name, fold) not in dice]
        if missing and (is_required or _allows(affordable, len(missing))):
            return (name, missing[0])
        if not missing:
            training = _next_stage(plan, names, name, num_folds, dice, affordable)
            if training is not None:
                return training
    return None


def training_seconds(
    remaining: int, seconds_left: float, overhead_seconds: float | None = None
) -> float:
    """Return the time of the next training.

    Args:
        remaining: Number of remaining trainings, including the next one; at least 1.
        seconds_left: Time left for training, without the share reserved for selection.
        overhead_seconds: Longest time of a finished training for other work such as scoring; None
            if unknown.
    """
    share = seconds_left / remaining
    overhead = FIRST_OVERHEAD * share if overhead_seconds is None else overhead_seconds
    return max(SMALLEST_SECONDS, share - overhead)


def remaining_trainings(
    plan: Plan, names: Sequence[str], num_folds: int, dice: Mapping[Key, float]
) -> int:
    """Return the number of remaining trainings that the budget must cover.

    These are fold 0 of every candidate and all folds of the best one. If the only candidates are a
    cascade and its previous stages, all folds of the cascade are included.

    Args:
        plan: The plan.
        names: The candidates.
        num_folds: Number of folds of the cross-validation.
        dice: Mean Dice of the held-out cases of every finished training.
    """
    first_candidates = _without_cascades(plan, names)
    later = 0
    if _are_only_stages(plan, names, first_candidates):
        cascades = set(names) - set(first_candidates)
        later = sum((name, fold) not in dice for name in cascades for fold in range(num_folds))
    first = [name for name in first_candidates if (name, 0) not in dice]
    if first:
        return len(first) + num_folds - 1 + later
    best = _survivors(first_candidates, dice)[0]
    return later + sum((best, fold) not in dice for fold in range(1, num_folds))


def affordable_trainings(schedule: RunSchedule) -> int | None:
    """Estimate how many trainings like the last one fit the remaining budget; None if unlimited.

    The time that the last training took counts, which is below its limit if its steps ended early.
    """
    left = schedule.seconds_left
    if left is None:
        return None
    last = schedule.trainings[-1] if schedule.trainings else None
    each = left if last is None else last.trained_seconds or last.seconds or left
    each += schedule.longest_overhead_seconds or 0.0
    usable = left - reserved_seconds(schedule)
    return max(0, int(usable / each)) if each else 0


def useful_trainings(schedule: RunSchedule, to_come: int) -> int:
    """Return the number of trainings to come that would get a useful time of the budget.

    That is all of them without a budget, and before the first training is finished.

    Args:
        schedule: Schedule of the run.
        to_come: Number of trainings to come.
    """
    left = schedule.seconds_left
    longest = max((entry.trained_seconds or 0.0 for entry in schedule.trainings), default=0.0)
    if left is None or not longest:
        return to_come
    each = USEFUL_SHARE * longest + (schedule.longest_overhead_seconds or 0.0)
    return min(to_come, int((left - reserved_seconds(schedule)) / each))


def reserved_seconds(schedule: RunSchedule) -> float:
    """Return the time reserved for selecting and writing the model; 0 without a budget.

    Both take longer where scoring does, such as on a machine that is busy with other work.
    """
    if schedule.budget_seconds is None:
        return 0.0
    scoring = schedule.longest_overhead_seconds or 0.0
    return max(RESERVED_SHARE * schedule.budget_seconds, SELECTION_SHARE * scoring)


def reference_seconds(configuration: Configuration, machine: Machine) -> float:
    """Return the predicted seconds of a training with as many steps as the reference method."""
    return REFERENCE_STEPS * _cost(configuration, machine)


def _without_cascades(plan: Plan, names: Sequence[str]) -> list[str]:
    """Return the configurations that have no previous stage."""
    return [name for name in names if plan.configuration(name).previous_stage is None]


def _without_augmentations(recipe: Recipe) -> Recipe:
    """Return a recipe without its augmentations, which depend on the number of axes."""
    return recipe.model_copy(update={"augmentations": ()})


def _cost(configuration: Configuration, machine: Machine) -> float:
    return step_seconds(configuration.architecture, configuration.batch_size, machine)


def _survivors(first_candidates: Sequence[str], dice: Mapping[Key, float]) -> list[str]:
    """Return the candidates to train after fold 0, best first."""
    ranked = sorted(first_candidates, key=lambda name: -dice[name, 0])
    return [name for name in ranked if dice[name, 0] >= dice[ranked[0], 0] - DICE_MARGIN]


def _next_stage(
    plan: Plan,
    names: Sequence[str],
    previous: str,
    num_folds: int,
    dice: Mapping[Key, float],
    affordable: int | None,
) -> Key | None:
    """Return the next training of a cascade whose previous stage is complete, or None."""
    best = max((value for (_, fold), value in dice.items() if fold == 0), default=0.0)
    is_required = _are_only_stages(plan, names, _without_cascades(plan, names))
    for name in names:
        if plan.configuration(name).previous_stage != previous:
            continue
        missing = [fold for fold in range(num_folds) if (name, fold) not in dice]
        if not missing and (later := _next_stage(plan, names, name, num_folds, dice, affordable)):
            return later
        is_close = (name, 0) not in dice or dice[name, 0] >= best - DICE_MARGIN
        if missing and (is_required or (is_close and _allows(affordable, len(missing)))):
            return (name, missing[0])
    return None


def _are_only_stages(plan: Plan, names: Sequence[str], first_candidates: Sequence[str]) -> bool:
    """Return True if all first candidates are previous stages of a cascade."""
    stages = {plan.configuration(name).previous_stage for name in names}
    return stages >= set(first_candidates)


def _allows(affordable: int | None, count: int) -> bool:
    return affordable is None or affordable >= count
