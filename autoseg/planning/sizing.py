"""Size configurations to a time, each value with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

from autoseg.core.formatting import number, percent
from autoseg.documents.fingerprint import COARSENING_FACTORS
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.losses import Loss
from autoseg.planning.budget import Base, Candidate, CandidateSearch, TimeBudget, bases
from autoseg.planning.compact import SHORT_REASON, resized
from autoseg.planning.configurations import ConfigurationDraft, PlannedValues, coarse_variant
from autoseg.planning.dataset_traits import DatasetTraits
from autoseg.planning.forecast import Step
from autoseg.planning.memory import SMALLEST_BATCH, MemoryBudget
from autoseg.planning.planned_value import OWN, PlannedValue
from autoseg.planning.resolution import full_resolution, plane_resolution

RULE = "best_candidate"
"""The function that chooses; recorded with every value that it decides."""

REFERENCE_STEPS_NEEDED = 25_000
"""Steps from which the references train by their own recipe, a tenth of its length. Source: a
choice. After 200 steps it had predicted background alone, where the short recipe had a Dice of 0.75
(docs/pages/experiments.md); from 4000 to 250 000 steps the two were not compared."""


FINALISTS = 3
"""Best candidates of each configuration whose steps are timed. Source: a choice."""

TIMING_ROUNDS = 3
"""Times that candidates are timed which became the best ones by what was timed before."""

LONGEST_TIMED_STEP = 2.0
"""Seconds of a step that is predicted and not timed: of large networks, predictions are good
(docs/pages/planning.md, "The machine's speed"), and timing them takes long."""


@dataclass(frozen=True)
class SizedDraft:
    """A configuration that was sized to a time.

    Attributes:
        draft: The configuration with its reasons.
        candidate: The candidate that it was made of.
    """

    draft: ConfigurationDraft
    candidate: Candidate


@dataclass(frozen=True)
class Sizing:
    """What configurations are sized by.

    Attributes:
        traits: The dataset.
        memory: What networks must fit.
        loss: What they minimise.
        time: What one training has.
    """

    traits: DatasetTraits
    memory: MemoryBudget
    loss: type[Loss]
    time: TimeBudget

    def is_enough_for(self, parents: Mapping[str, ConfigurationDraft]) -> bool:
        """True if every reference configuration gets the steps that its own recipe needs."""
        made = [parent.configuration for parent in parents.values()]
        return all(
            self.time.steps(full.architecture, full.batch_size, full.recipe)
            >= REFERENCE_STEPS_NEEDED
            for full in made
        )

    def with_timed_steps(self, parents: Mapping[str, ConfigurationDraft]) -> "Sizing":
        """Return the sizing that knows how long steps of the best candidates take.

        It is the same sizing if steps cannot be timed on the machine.

        Args:
            parents: The reference configurations.
        """
        time_steps = self.time.machine.time_steps
        if time_steps is None:
            return self
        sizing, asked = self, set[Step]()
        for _ in range(TIMING_ROUNDS):
            steps = sizing._finalists(parents) - asked
            if not steps:
                break
            asked |= steps
            machine = sizing.time.machine
            timed = {**machine.timed, **time_steps(list(steps))}
            time = replace(sizing.time, machine=replace(machine, timed=timed))
            sizing = replace(sizing, time=time)
        return sizing

    def _finalists(self, parents: Mapping[str, ConfigurationDraft]) -> set[Step]:
        """Return the best candidates of every configuration whose steps are short enough."""
        found = set[Step]()
        for parent in parents.values():
            short = (
                candidate.size
                for candidate in self.search(parent).ranked
                if self.time.seconds / candidate.loss.steps <= LONGEST_TIMED_STEP
            )
            found.update(islice(short, FINALISTS))
        return found

    def sized(self, parents: Mapping[str, ConfigurationDraft]) -> dict[str, SizedDraft]:
        """Return the best variant of each reference configuration, by the reference's name.

        All have the recipe for short trainings, so that they can be compared by what they reach in
        equal time.

        Raises:
            PlanError: If the time is too short for any.
        """
        searches = {name: self.search(parent) for name, parent in parents.items()}
        enough = {name: search for name, search in searches.items() if search.has_enough_time}
        found = enough or searches  # raises for the first, where the time is too short for all
        return {name: self._sized(parents[name], search) for name, search in found.items()}

    def search(self, parent: ConfigurationDraft) -> CandidateSearch:
        """Return the candidates of a reference configuration at full resolution."""
        full = parent.configuration
        is_2d = full.topology.num_axes == 2
        resolution = plane_resolution(self.traits) if is_2d else full_resolution(self.traits)
        reference = Base(1.0, resolution, full.architecture, full.batch_size)
        return CandidateSearch(self.time, self.traits, bases(resolution, self.memory, reference))

    def variant(
        self, parent: ConfigurationDraft, candidate: Candidate, reasons: PlannedValues
    ) -> ConfigurationDraft:
        """Return the variant of a reference configuration that is one of its candidates.

        Args:
            parent: The reference configuration at full resolution.
            candidate: Of its search.
            reasons: Why its values differ from the parent's.
        """
        base, factor = parent, candidate.base.factor
        if factor > 1:
            base = coarse_variant(self.traits, self.memory, self.loss, parent, factor)
        return resized(base, candidate.size, SHORT_RECIPE, {**base.choices, **reasons})

    def _sized(self, parent: ConfigurationDraft, search: CandidateSearch) -> SizedDraft:
        """Return the best candidate of a configuration with the reasons of its values."""
        best = search.best_candidate()
        draft = self.variant(parent, best, _reasons(search))
        return SizedDraft(replace(draft, forecasts=self._forecasts(draft, best)), best)

    def _forecasts(
        self, draft: ConfigurationDraft, best: Candidate
    ) -> dict[str, PlannedValue[str]]:
        """Predict the steps, the coverage and the resolution of a variant."""
        made = draft.configuration
        steps = self.time.steps(made.architecture, made.batch_size, made.recipe)
        seconds = number(self.time.seconds / steps)
        is_timed = (made.architecture, made.batch_size) in self.time.machine.timed
        timed = "; a step was timed on this machine" if is_timed else ""
        return {
            "predicted_steps": PlannedValue(
                f"{number(round(steps))} steps in {self.time.text}",
                "training_step_seconds",
                f"{self.time.text} at {seconds} seconds each, validation included{timed}",
                OWN,
            ),
            "predicted_coverage": PlannedValue(
                percent(best.loss.coverage),
                "coverage",
                "share of the median case that a patch sees; classes leave "
                f"{percent(self.traits.locality)} of the image free, so context counts "
                f"{number(round(self.traits.locality, 2))} times",
                OWN,
            ),
            "predicted_resolution": PlannedValue(
                f"Dice {best.loss.resolution_dice:.3f}",
                "resolution_dice",
                "mean Dice of the labels after resampling to this spacing and back: no network "
                "can be expected to exceed it",
                OWN,
            ),
        }


def _reasons(search: CandidateSearch) -> PlannedValues:
    """Return why a variant has its voxels, size and recipe."""
    best = search.best_candidate()
    size = _comparison(search)
    patch, batch = "that of the reference", "that of the reference"
    if (voxels := best.preset.voxels) is not None:
        patch = f"{voxels} voxels or less: with the network, expected to lose the least Dice"
        batch = f"{voxels} voxels or less, but at least {SMALLEST_BATCH} patches"
    reasons = {
        "spacing": f"{best.base.resolution.spacing.reason}{_why_these_voxels(search)}",
        "architecture": f"{best.preset.features} features: {size}",
        "patch_shape": patch,
        "batch_size": batch,
        "recipe": SHORT_REASON,
    }
    return {field: PlannedValue(None, RULE, reason, OWN) for field, reason in reasons.items()}


def _comparison(search: CandidateSearch) -> str:
    """Return the expected loss of the best candidate and of the next one of another size."""
    best, time = search.best_candidate(), search.budget.text
    text = (
        f"of {len(search.ranked)} sizes, the one expected to lose the least Dice in {time}: "
        f"{_terms(best)}"
    )
    others = (entry for entry in search.ranked if entry.preset != best.preset)
    if (other := next(others, None)) is None:
        return text
    voxels = other.preset.voxels or "the reference's"
    return (
        f"{text}; the next ({other.preset.features} features, {voxels} voxels) would lose "
        f"{_terms(other)}"
    )


def _terms(candidate: Candidate) -> str:
    loss = candidate.loss
    return (
        f"{loss.total:.3f} ({loss.resolution:.3f} by its voxels, {loss.training:.3f} by "
        f"{number(round(loss.steps))} steps on {percent(loss.coverage)} of a case, "
        f"{loss.network:.3f} by its network)"
    )


def _why_these_voxels(search: CandidateSearch) -> str:
    best, full = search.best_candidate(), search.best_at_full_resolution
    if best.base.factor == 1:
        is_known = any(entry.base.factor > 1 for entry in search.ranked)
        return "; coarser voxels are expected to lose more Dice than they gain" if is_known else ""
    if full is None:
        return "; at full resolution no size gets enough steps"
    return (
        f": expected to lose {_terms(best)}, at full resolution {_terms(full)}; voxels 1, "
        f"{', '.join(map(number, COARSENING_FACTORS))} times as coarse were compared"
    )
