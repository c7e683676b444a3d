"""Choose voxel size, network, patch and batch for the time that one training has."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from autoseg.architectures import Architecture
from autoseg.core.errors import PlanError
from autoseg.core.formatting import duration, time_span
from autoseg.documents.fingerprint import COARSENING_FACTORS
from autoseg.documents.recipe import SHORT_RECIPE, Recipe
from autoseg.planning import expected_dice
from autoseg.planning.compact import sizes
from autoseg.planning.dataset_traits import DatasetTraits
from autoseg.planning.expected_dice import ExpectedLoss
from autoseg.planning.forecast import Machine, training_step_seconds
from autoseg.planning.memory import MemoryBudget, batch_size, largest_network
from autoseg.planning.resolution import Resolution, coarser
from autoseg.planning.size_presets import SizePreset

LEAST_STEPS = 100
"""Steps without which nothing is planned: the learning rate has hardly risen before."""


@dataclass(frozen=True)
class TimeBudget:
    """How long one training may take, and on what.

    Attributes:
        seconds: Of one training.
        machine: What it runs on.
    """

    seconds: float
    machine: Machine

    def steps(self, architecture: Architecture, batch: int, recipe: Recipe) -> float:
        """Return the number of optimiser steps that a network is predicted to get."""
        return self.seconds / training_step_seconds(architecture, batch, recipe, self.machine)

    @property
    def text(self) -> str:
        """The time, in the unit that suits it."""
        return duration(self.seconds / 3600)


@dataclass(frozen=True)
class Base:
    """A voxel size, and the largest network and batch that fit the memory there.

    Attributes:
        factor: By how much the voxels are coarser than at full resolution.
        resolution: The voxels.
        architecture: The network.
        batch_size: Patches per step.
    """

    factor: float
    resolution: Resolution
    architecture: Architecture
    batch_size: int

    def sizes(self) -> dict[tuple[Architecture, int], SizePreset]:
        """Return the networks and batch sizes of all presets."""
        return sizes(self.architecture, self.batch_size, self.resolution.grid)


@dataclass(frozen=True)
class Candidate:
    """One choice of voxel size, network, patch and batch.

    Attributes:
        base: The voxel size.
        preset: The size of the network and the patches.
        size: The network and the patches per step.
        loss: The Dice that it is expected to lose in the time.
    """

    base: Base
    preset: SizePreset
    size: tuple[Architecture, int]
    loss: ExpectedLoss

    @property
    def name(self) -> str:
        """The voxels, patch and features, such as `3d_x2_2^15_f8`, in which 2 is a factor."""
        axes = self.size[0].topology.num_axes
        voxels = (
            "full" if self.preset.voxels is None else f"2^{self.preset.voxels.bit_length() - 1}"
        )
        return f"{axes}d_x{self.base.factor:g}_{voxels}_f{self.preset.features}"


@dataclass(frozen=True)
class CandidateSearch:
    """All candidates of one configuration, compared.

    Attributes:
        budget: The time.
        traits: The dataset.
        bases: Voxel sizes; the full resolution comes first.
    """

    budget: TimeBudget
    traits: DatasetTraits
    bases: tuple[Base, ...]

    @cached_property
    def ranked(self) -> list[Candidate]:
        """All candidates that get enough steps, those with the least expected loss first."""
        enough = [entry for entry in self._candidates if entry.loss.steps >= LEAST_STEPS]
        return sorted(enough, key=lambda entry: entry.loss.total)

    @property
    def has_enough_time(self) -> bool:
        """Whether any candidate gets enough steps."""
        return bool(self.ranked)

    def best_candidate(self) -> Candidate:
        """Return the candidate with the least expected loss.

        Raises:
            PlanError: If none gets enough steps; it says how much time would do.
        """
        if not self.has_enough_time:
            raise PlanError(self._too_short())
        return self.ranked[0]

    @property
    def best_at_full_resolution(self) -> Candidate | None:
        """The best candidate that keeps the full resolution; None if none gets enough steps."""
        return next((entry for entry in self.ranked if entry.base.factor == 1), None)

    @cached_property
    def _candidates(self) -> list[Candidate]:
        found = []
        for base in self.bases:
            spacing = base.resolution.grid.spacing
            kept = expected_dice.resolution_dice(self.traits.fingerprint, spacing)
            if kept is None and base.factor > 1:
                continue
            resolution = 1.0 if kept is None else kept
            found += [
                Candidate(base, preset, size, self._loss(base, resolution, *size))
                for size, preset in base.sizes().items()
            ]
        return found

    def _loss(
        self, base: Base, resolution: float, architecture: Architecture, batch: int
    ) -> ExpectedLoss:
        patch = architecture.topology.patch_shape
        median = base.resolution.grid.median_shape
        isotropy = self.traits.slice_isotropy
        return ExpectedLoss(
            resolution_dice=resolution,
            coverage=expected_dice.coverage(patch, median),
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
        enough = time_span(self.budget.seconds * LEAST_STEPS / most_steps)
        return (
            f"found {self.budget.text} per training, in which the smallest network gets about "
            f"{int(most_steps)} steps on this machine; expected time for {LEAST_STEPS} at least. "
            f"Give --budget {enough} or more with `autoseg plan`; with `autoseg run` the budget is "
            "that of all folds together."
        )


def bases(full: Resolution, memory: MemoryBudget, reference: Base) -> tuple[Base, ...]:
    """Return the voxel sizes to choose from, the full resolution first.

    Args:
        full: The full resolution.
        memory: What networks must fit.
        reference: The reference configuration at full resolution.
    """
    coarse = [coarser(full, factor) for factor in COARSENING_FACTORS]
    networks = [largest_network(memory, resolution.grid) for resolution in coarse]
    parts: Sequence[tuple[float, Resolution, Architecture]] = list(
        zip(COARSENING_FACTORS, coarse, networks, strict=True)
    )
    return (
        reference,
        *(
            Base(factor, low, network, batch_size(network, memory, low.dataset_voxels).value)
            for factor, low, network in parts
        ),
    )
