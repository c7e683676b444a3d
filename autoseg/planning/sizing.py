"""Size configurations for a time budget, each value with its reason."""

from dataclasses import dataclass, replace
from itertools import islice

from autoseg.core.formatting import format_number, format_percent
from autoseg.documents.fingerprint import COARSENING_FACTORS
from autoseg.documents.recipe import SHORT_RECIPE
from autoseg.planning.budget import Base, Candidate, CandidateSearch, TimeBudget, bases
from autoseg.planning.compact import SHORT_REASON, resized
from autoseg.planning.configurations import ConfigurationDraft, ReferenceMethod
from autoseg.planning.forecast import Step
from autoseg.planning.memory import SMALLEST_BATCH
from autoseg.planning.planned_value import OWN, PlannedValue, PlannedValues
from autoseg.planning.resolution import full_resolution

RULE = "best_candidate"
"""Name of the choosing function, recorded with every value that it decides."""

COMPACT_PARENTS = ("2d", "3d_fullres")
"""Configurations with a compact variant. `3d_lowres` has none, because the compact variant of
`3d_fullres` may have coarser voxels itself; so there is no compact cascade either."""

REFERENCE_STEPS_NEEDED = 25_000
"""Minimum steps of the reference recipe, a tenth of its length. Source: a choice. After 200 steps,
networks trained with it predicted only background, while the short recipe reached a Dice of 0.75
(docs/pages/experiments.md); from 4000 to 250 000 steps the two were not compared."""

FINALISTS = 3
"""Number of best candidates per configuration whose steps are timed. Source: a choice."""

TIMING_ROUNDS = 3
"""Maximum rounds of timing: each round may bring other candidates to the top."""

LONGEST_TIMED_STEP = 2.0
"""Maximum predicted seconds of a step to time it: for large networks, predictions are accurate
(docs/pages/planning.md, "The machine's speed") and timing takes long."""


@dataclass(frozen=True)
class SizedDraft:
    """A configuration sized for a time budget.

    Attributes:
        draft: The configuration with its reasons.
        candidate: The candidate that it is based on.
    """

    draft: ConfigurationDraft
    candidate: Candidate


@dataclass(frozen=True)
class Sizing:
    """Sizes configurations for a time budget.

    Attributes:
        reference: The reference method, whose configurations are resized.
        time: Time budget of one training.
    """

    reference: ReferenceMethod
    time: TimeBudget

    @property
    def parents(self) -> dict[str, ConfigurationDraft]:
        """The reference configurations that are resized, by name."""
        drafts = self.reference.drafts
        return {name: drafts[name] for name in COMPACT_PARENTS if name in drafts}

    @property
    def is_enough_for_reference(self) -> bool:
        """Whether every reference configuration gets the steps that its recipe needs."""
        return all(
            self.time.steps(full.architecture, full.batch_size, full.recipe)
            >= REFERENCE_STEPS_NEEDED
            for full in (parent.configuration for parent in self.parents.values())
        )

    def with_timed_steps(self) -> "Sizing":
        """Time steps of the best candidates and return a sizing that uses these times.

        It is `self` if the machine cannot time steps.
        """
        time_steps = self.time.machine.time_steps
        if time_steps is None:
            return self
        sizing, requested = self, set[Step]()
        for _ in range(TIMING_ROUNDS):
            steps = sizing._finalists() - requested
            if not steps:
                break
            requested |= steps
            machine = sizing.time.machine
            timed = {**machine.timed, **time_steps(list(steps))}
            time = replace(sizing.time, machine=replace(machine, timed=timed))
            sizing = replace(sizing, time=time)
        return sizing

    def _finalists(self) -> set[Step]:
        """Return the best candidates of every configuration with steps short enough to time."""
        finalists = set[Step]()
        for parent in self.parents.values():
            short = (
                candidate.size
                for candidate in self.search(parent).ranked
                if self.time.seconds / candidate.loss.steps <= LONGEST_TIMED_STEP
            )
            finalists.update(islice(short, FINALISTS))
        return finalists

    def sized(self) -> dict[str, SizedDraft]:
        """Return the best variant of each reference configuration, by name of the reference.

        All variants use the recipe for short trainings, so that their expected losses are
        comparable.

        Raises:
            PlanError: If the time is too short for every configuration.
        """
        searches = {name: self.search(parent) for name, parent in self.parents.items()}
        feasible = {name: search for name, search in searches.items() if search.ranked}
        chosen = feasible or searches  # if none is feasible, the first search raises the error
        return {name: self._sized(self.parents[name], search) for name, search in chosen.items()}

    def search(self, parent: ConfigurationDraft) -> CandidateSearch:
        """Return the candidate search of a reference configuration at full resolution."""
        full = parent.configuration
        traits, memory = self.reference.traits, self.reference.memory
        resolution = full_resolution(traits, full.topology.num_axes)
        reference = Base(1.0, resolution, full.architecture, full.batch_size)
        return CandidateSearch(self.time, traits, bases(resolution, memory, reference))

    def variant(self, parent: ConfigurationDraft, candidate: Candidate) -> ConfigurationDraft:
        """Build the variant of a reference configuration at full resolution for a candidate."""
        base, factor = parent, candidate.base.factor
        if factor > 1:
            base = self.reference.coarse_variant(parent, factor)
        recipe = SHORT_RECIPE.model_copy(
            update={"augmentations": base.configuration.recipe.augmentations}
        )
        changes = {
            **_candidate_values(candidate),
            "recipe": PlannedValue(recipe, RULE, SHORT_REASON, OWN),
        }
        return resized(base, changes)

    def _sized(self, parent: ConfigurationDraft, search: CandidateSearch) -> SizedDraft:
        """Return the best variant of a configuration, compared with the other candidates."""
        best = search.best_candidate()
        draft = self.variant(parent, best)
        changes = {
            "spacing": draft.choices["spacing"].extended(_spacing_comparison(search)),
            "architecture": draft.choices["architecture"].extended(f": {_comparison(search)}"),
            **self._forecasts(draft, best),
        }
        return SizedDraft(draft.varied(draft.name, changes), best)

    def _forecasts(
        self, draft: ConfigurationDraft, best: Candidate
    ) -> dict[str, PlannedValue[str]]:
        """Predict the steps, the coverage and the resolution of a variant."""
        sized = draft.configuration
        steps = self.time.steps(sized.architecture, sized.batch_size, sized.recipe)
        seconds = format_number(self.time.seconds / steps)
        is_timed = (sized.architecture, sized.batch_size) in self.time.machine.timed
        timed = "; a step was timed on this machine" if is_timed else ""
        locality = self.reference.traits.locality
        return {
            "predicted_steps": PlannedValue(
                f"{format_number(round(steps))} steps in {self.time.text}",
                "training_step_seconds",
                f"{self.time.text} at {seconds} seconds per step, validation included{timed}",
                OWN,
            ),
            "predicted_coverage": PlannedValue(
                format_percent(best.loss.coverage),
                "coverage",
                "share of the median case that a patch covers; classes leave "
                f"{format_percent(locality)} of the image free, so context is weighted "
                f"by {format_number(round(locality, 2))}",
                OWN,
            ),
            "predicted_resolution": PlannedValue(
                f"Dice {best.loss.resolution_dice:.3f}",
                "resolution_dice",
                "mean Dice of the labels after resampling to this spacing and back, an upper bound "
                "for what a network is expected to reach",
                OWN,
            ),
        }


def _candidate_values(candidate: Candidate) -> PlannedValues:
    """Return the spacing, the network, its patch and the batch size of a candidate."""
    architecture, batch_size = candidate.size
    spacing = candidate.base.resolution.spacing
    patch, batch = "same as the reference", "same as the reference"
    if (voxels := candidate.preset.voxels) is not None:
        patch = f"at most {voxels} voxels: with this network, expected to lose the least Dice"
        batch = f"at most {voxels} voxels, but at least {SMALLEST_BATCH} patches"
    features = f"{candidate.preset.features} features"
    return {
        "spacing": PlannedValue(spacing.value, RULE, spacing.reason, OWN),
        "architecture": PlannedValue(architecture, RULE, features, OWN),
        "patch_shape": PlannedValue(architecture.topology.patch_shape, RULE, patch, OWN),
        "batch_size": PlannedValue(batch_size, RULE, batch, OWN),
    }


def _comparison(search: CandidateSearch) -> str:
    """Compare the expected loss of the best candidate with the next one of another size."""
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
        f"{text}; the next one ({other.preset.features} features, {voxels} voxels) would lose "
        f"{_terms(other)}"
    )


def _terms(candidate: Candidate) -> str:
    loss = candidate.loss
    return (
        f"{loss.total:.3f} ({loss.resolution:.3f} from its voxels, {loss.training:.3f} from "
        f"{format_number(round(loss.steps))} steps on {format_percent(loss.coverage)} of a case, "
        f"{loss.network:.3f} from its network)"
    )


def _spacing_comparison(search: CandidateSearch) -> str:
    best = search.best_candidate()
    full = next((entry for entry in search.ranked if entry.base.factor == 1), None)
    if best.base.factor == 1:
        is_known = any(entry.base.factor > 1 for entry in search.ranked)
        return "; coarser voxels are expected to lose more Dice than they gain" if is_known else ""
    if full is None:
        return "; no size at full resolution gets enough steps"
    return (
        f": expected to lose {_terms(best)}, at full resolution {_terms(full)}; voxels 1, "
        f"{', '.join(map(format_number, COARSENING_FACTORS))} times as coarse were compared"
    )
