"""Choose voxel size, network, patch and batch for the time of one training."""

from dataclasses import dataclass
from functools import cached_property
from math import prod

from autoseg.architectures import Architecture
from autoseg.core.errors import PlanError
from autoseg.core.formatting import format_budget, format_duration
from autoseg.documents.fingerprint import COARSENING_FACTORS
from autoseg.documents.recipe import SHORT_RECIPE, Recipe
from autoseg.planning import expected_dice
from autoseg.planning.compact import SizePreset, sizes
from autoseg.planning.dataset_traits import DatasetTraits
from autoseg.planning.expected_dice import ExpectedLoss
from autoseg.planning.forecast import Machine, training_step_seconds
from autoseg.planning.memory import MemoryBudget, batch_size, largest_network
from autoseg.planning.resolution import Resolution, coarser

LEAST_STEPS = 100
"""Minimum number of steps of a candidate: below, the learning rate has hardly warmed up."""


@dataclass(frozen=True)
class TimeBudget:
    """Time of one training, and the machine that it runs on.

    Attributes:
        seconds: Time of one training.
        machine: The machine.
    """

    seconds: float
    machine: Machine

    def steps(self, architecture: Architecture, batch: int, recipe: Recipe) -> float:
        """Return the predicted number of optimiser steps of a network in the time.

        Args:
            architecture: The network.
            batch: Patches per step.
            recipe: The training recipe.
        """
        return self.seconds / training_step_seconds(architecture, batch, recipe, self.machine)

    @property
    def text(self) -> str:
        """The time as text, in a suitable unit."""
        return format_duration(self.seconds)


@dataclass(frozen=True)
class Base:
    """A voxel size with the largest network and batch that fit into memory at that size.

    Attributes:
        factor: Voxel size relative to the full resolution, at least 1.
        resolution: Spacing and median shape.
        architecture: The network.
        batch_size: Patches per step.
    """

    factor: float
    resolution: Resolution
    architecture: Architecture
    batch_size: int


@dataclass(frozen=True)
class Candidate:
    """One combination of voxel size, network, patch and batch.

    Attributes:
        base: The voxel size.
        preset: The size preset of network and patch.
        size: The network and the batch size.
        loss: Its expected loss of Dice after the time.
    """

    base: Base
    preset: SizePreset
    size: tuple[Architecture, int]
    loss: ExpectedLoss


@dataclass(frozen=True)
class CandidateSearch:
    """Comparison of all candidates of one configuration.

    Attributes:
        budget: Time of one training.
        traits: Traits of the dataset.
        bases: Voxel sizes, the full resolution first.
    """

    budget: TimeBudget
    traits: DatasetTraits
    bases: tuple[Base, ...]

    @cached_property
    def ranked(self) -> list[Candidate]:
        """Candidates with enough steps, sorted by expected loss, the lowest first."""
        eligible = [entry for entry in self._candidates if entry.loss.steps >= LEAST_STEPS]
        return sorted(eligible, key=lambda entry: entry.loss.total)

    def best_candidate(self) -> Candidate:
        """Return the candidate with the lowest expected loss.

        Raises:
            PlanError: If no candidate gets enough steps; the message names a sufficient budget.
        """
        if not self.ranked:
            raise PlanError(self._too_short())
        return self.ranked[0]

    @cached_property
    def _candidates(self) -> list[Candidate]:
        candidates = []
        for base in self.bases:
            spacing = base.resolution.grid.spacing
            measured = expected_dice.resolution_dice(self.traits.fingerprint, spacing)
            if measured is None and base.factor > 1:  # the loss of coarser voxels is unknown
                continue
            resolution = 1.0 if measured is None else measured
            candidates += [
                Candidate(base, preset, size, self._loss(base, resolution, *size))
                for size, preset in sizes(
                    base.architecture, base.batch_size, base.resolution.grid
                ).items()
            ]
        return candidates

    def _loss(
        self, base: Base, resolution: float, architecture: Architecture, batch: int
    ) -> ExpectedLoss:
        patch = architecture.topology.patch_shape
        median = base.resolution.grid.median_shape
        isotropy = self.traits.slice_isotropy
        return ExpectedLoss(
            resolution_dice=resolution,
            coverage=expected_dice.coverage(patch, median),
            num_axes=len(patch),
            locality=self.traits.locality,
            steps=self.budget.steps(architecture, batch, SHORT_RECIPE),
            voxels=batch * prod(patch),
            edge=prod(median) ** (1 / len(median)),
            features=getattr(architecture, "features", (0,))[0],
            slice_isotropy=isotropy if len(patch) == 2 and self.traits.has_volumes else 0.0,
            slice_anisotropy=1 - isotropy if len(patch) == 3 else 0.0,
        )

    def _too_short(self) -> str:
        most_steps = max(entry.loss.steps for entry in self._candidates)
        sufficient = format_budget(self.budget.seconds * LEAST_STEPS / most_steps)
        return (
            f"the budget of {self.budget.text} per training is too small: the smallest network "
            f"gets about {int(most_steps)} steps on this machine, but needs at least "
            f"{LEAST_STEPS}. Pass --budget {sufficient} or more to `autoseg plan`; with "
            "`autoseg run`, the budget covers all folds together."
        )


def bases(full: Resolution, memory: MemoryBudget, reference: Base) -> tuple[Base, ...]:
    """Return the voxel sizes to compare, the full resolution first.

    Args:
        full: The full resolution.
        memory: Memory budget of the networks.
        reference: The reference configuration at full resolution.
    """

    def base(factor: float) -> Base:
        resolution = coarser(full, factor)
        network = largest_network(memory, resolution.grid).value
        batch = batch_size(network, memory, resolution.dataset_voxels).value
        return Base(factor, resolution, network, batch)

    return (reference, *map(base, COARSENING_FACTORS))
