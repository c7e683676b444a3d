"""Size a configuration so that its training makes enough progress in the time that there is.

The sizes and how many steps each must get are those of `ladder`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from autoseg.architectures import Architecture
from autoseg.core.errors import PlanError
from autoseg.documents.recipe import SHORT_RECIPE, Recipe
from autoseg.planning.choice import OWN, Choice
from autoseg.planning.compact import SHORT_REASON, resized, size_of
from autoseg.planning.configurations import Choices, Draft
from autoseg.planning.forecast import Machine, training_step_seconds
from autoseg.planning.ladder import LADDER, LEAST_STEPS, REFERENCE_RECIPE_STEPS, Rung
from autoseg.planning.memory import SMALLEST_BATCH
from autoseg.planning.wording import duration, number, time_span

RULE = "largest_that_learns"


@dataclass(frozen=True)
class Clock:
    """How long one training may take, and on what.

    Attributes:
        seconds: Of one training.
        machine: What it runs on.
    """

    seconds: float
    machine: Machine

    def steps(self, draft: Draft) -> float:
        """Return how many steps a configuration is predicted to get."""
        made = draft.configuration
        return self.steps_of(made.architecture, made.batch_size, made.recipe)

    def steps_of(self, architecture: Architecture, batch_size: int, recipe: Recipe) -> float:
        """Return how many steps a network is predicted to get."""
        step = training_step_seconds(architecture, batch_size, recipe, self.machine)
        return self.seconds / step

    @property
    def text(self) -> str:
        """The time, as a person says it."""
        return duration(self.seconds / 3600)


@dataclass(frozen=True)
class Fit:
    """A size that was chosen.

    Attributes:
        at: Its place on the ladder.
        steps: How many steps each rung would get, from the lowest up.
    """

    at: int
    steps: tuple[float, ...]

    @property
    def rung(self) -> Rung:
        """The size."""
        return LADDER[self.at]


def sized_to(clock: Clock, parents: Mapping[str, Draft]) -> dict[str, Draft]:
    """Return the largest variant of each configuration that gets enough steps, by parent's name.

    A parent itself is returned where it gets enough for its own recipe. All have one recipe, so
    that they can be compared by what they reach in equal time.

    Raises:
        PlanError: If not even the smallest gets enough to learn anything.
    """
    _check_enough(clock, parents.values())
    fits = {name: largest_that_learns(clock, parent) for name, parent in parents.items()}
    fewest = min(fit.steps[fit.at] for fit in fits.values())
    return {name: _sized(clock, parents[name], fit, fewest) for name, fit in fits.items()}


def largest_that_learns(clock: Clock, parent: Draft) -> Fit:
    """Return the highest rung whose training gets the steps that the rung asks for.

    More time, or a faster machine, so never gives a lower rung: each rung's steps only grow.

    Raises:
        PlanError: If the lowest rung does not get its steps.
    """
    _check_enough(clock, [parent])
    sizes = [size_of(parent, rung) for rung in LADDER]
    steps = tuple(clock.steps_of(network, batch, SHORT_RECIPE) for network, batch in sizes)
    return Fit(max(at for at, rung in enumerate(LADDER) if steps[at] >= rung.fewest_steps), steps)


def _check_enough(clock: Clock, parents: Iterable[Draft]) -> None:
    """Check that the smallest network gets enough steps, whichever configuration it is of.

    Raises:
        PlanError: If it does not; it says how much time would do.
    """
    smallest = [size_of(parent, LADDER[0]) for parent in parents]
    steps = min(clock.steps_of(network, batch, SHORT_RECIPE) for network, batch in smallest)
    if steps < LEAST_STEPS:
        enough = time_span(clock.seconds * LEAST_STEPS / steps)
        msg = (
            f"found {clock.text} per training, in which the smallest network gets about "
            f"{int(steps)} steps on this machine; expected time for {LEAST_STEPS} at least. "
            f"Give --budget {enough} or more with `autoseg plan`; with `autoseg run` the budget is "
            "that of all folds together."
        )
        raise PlanError(msg)


def _sized(clock: Clock, parent: Draft, fit: Fit, fewest: float) -> Draft:
    """Return the variant of a configuration at its rung, with the reasons for its size."""
    is_long = fewest >= REFERENCE_RECIPE_STEPS
    recipe = parent.configuration.recipe if is_long else SHORT_RECIPE
    reasons = _reasons(clock, parent.configuration.name, fit, fewest)
    draft = resized(parent, fit.rung, recipe, reasons)
    name = parent.configuration.name
    if draft.configuration.model_copy(update={"name": name}) == parent.configuration:
        draft = parent
    steps = clock.steps(draft)
    because = f"{clock.text} at {number(clock.seconds / steps)} seconds each, validation included"
    text = f"{number(round(steps))} steps in {clock.text}"
    return replace(draft, steps=Choice(text, "training_step_seconds", because, OWN))


def _reasons(clock: Clock, parent: str, fit: Fit, fewest: float) -> Choices:
    """Return why a variant has its size and recipe."""
    size, voxels = _size(clock, fit), fit.rung.voxels
    patch, batch = f"that of {parent}", f"that of {parent}"
    if voxels is not None:
        patch = f"the patch of {parent}, shrunk to {voxels} voxels or less, to suit the clock"
        batch = (
            f"{voxels} voxels or less, but at least {SMALLEST_BATCH} patches, and no more than in "
            f"{parent}"
        )
    recipe = (
        f"{number(round(fewest))} steps or more; from {REFERENCE_RECIPE_STEPS} on the reference's"
        if fewest >= REFERENCE_RECIPE_STEPS
        else f"{number(round(fewest))} steps are under {REFERENCE_RECIPE_STEPS}: {SHORT_REASON}"
    )
    reasons = {
        "architecture": size,
        "patch_shape": patch,
        "batch_size": batch,
        "recipe": recipe,
    }
    return {field: Choice(None, RULE, because, OWN) for field, because in reasons.items()}


def _size(clock: Clock, fit: Fit) -> str:
    """Return why this rung and not the next."""
    chosen = fit.rung
    text = (
        f"{chosen.features} features: in {clock.text} a step of this size is done "
        f"{number(round(fit.steps[fit.at]))} times, at least {chosen.fewest_steps} are needed"
    )
    if fit.at + 1 == len(LADDER):
        return f"{text}; there is no larger one than the reference's"
    above, steps = LADDER[fit.at + 1], number(round(fit.steps[fit.at + 1]))
    return f"{text}; the next larger ({_named(above)}) would get {steps} of {above.fewest_steps}"


def _named(rung: Rung) -> str:
    patch = "the reference's patch" if rung.voxels is None else f"{rung.voxels} voxels"
    return f"{rung.features} features, {patch}"
