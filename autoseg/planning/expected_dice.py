"""Expected loss of Dice of a candidate: voxel size, patch and network within a time budget.

A short training loses Dice by voxels that are too coarse to represent the labels, by patches with
too little context to locate the classes, and by too few steps for an image of this size. The rule
adds these losses to compare candidates. It predicts the order of the candidates and not the Dice
itself, because some datasets are harder than others.
"""

from dataclasses import dataclass
from math import log2, prod

import numpy as np

from autoseg.documents.fingerprint import COARSENING_FACTORS, CaseFingerprint, Fingerprint

REFERENCE_VOXELS = 2**16
"""Voxels per step for which a step counts as one: two patches of 2^15."""

REFERENCE_EDGE = 64.0
"""Edge of the image, in voxels, to which `Coefficients.steps` refers."""

NARROWEST = 8
"""Features of the first stage of the narrowest networks."""

ENOUGH_COVERAGE = 0.8
"""Share of the image's edges from which on a patch contains enough context. Source: as `FITTED`."""

SINGLE_SLICES = 0.042
"""Dice lost by a 2-D network on volumes with close slices. It is not fitted, because the datasets
that it could be fitted to differ too much: from -0.24 to 0.24. Source: mean of five muscles in MRI
of isotropic voxels, nnU-Net's five folds: 0.903 in 3-D, 0.861 in 2-D (nntrongnghia,
TDSI21-Shoulder-Muscle-Segmentation, wiki page "Result")."""


@dataclass(frozen=True)
class Coefficients:
    """Coefficients of the expected loss, fitted by `docs/benchmarks/regret.py`.

    Attributes:
        steps: Dice lost after 1000 steps on an image with an edge of 64 voxels.
        steps_exponent: Power of the number of steps by which this loss falls.
        voxels_exponent: Power of the voxels per step by which a step counts.
        edge_exponent: Power of the edge of the image, in voxels, by which the loss grows.
        spread: Share of the loss that remains if the locality of the classes is 0.
        context: Added to `steps`, times the square of the missing context. The missing context is
            the locality of the classes times the number of halvings from `ENOUGH_COVERAGE` to the
            share of an edge that a patch covers.
        lasting_context: Dice lost by this square after any number of steps.
        narrow: Dice lost by networks with 8 and with 16 features after any number of steps.
        narrow_steps: Weight of a step of a network with 8 features.
        distant_slices: Dice lost by a 3-D network if slices are infinitely far apart; see
            `closeness` for distances in between.
    """

    steps: float
    steps_exponent: float
    voxels_exponent: float
    edge_exponent: float
    spread: float
    context: float
    lasting_context: float
    narrow: tuple[float, float]
    narrow_steps: float
    distant_slices: float


FITTED = Coefficients(
    steps=0.0357,
    steps_exponent=0.993,
    voxels_exponent=0.0236,
    edge_exponent=1.241,
    spread=0.0111,
    context=1.526,
    lasting_context=0.0037,
    narrow=(0.0196, 0.0009),
    narrow_steps=1.031,
    distant_slices=0.0643,
)
"""Source: docs/pages/experiments.md, "Sizes for a time budget"."""


@dataclass(frozen=True)
class ExpectedLoss:
    """Expected loss of Dice of a candidate, and the values that determine it.

    Attributes:
        resolution_dice: Mean Dice of the labels after resampling to the candidate's voxel size and
            back, from 0 to 1.
        coverage: Share of the median case that a patch covers, from 0 to 1.
        num_axes: Axes of a patch, 2 or 3.
        locality: Locality of the classes, from 0 to 1; see `locality`.
        steps: Optimiser steps within the time budget.
        voxels: Voxels of all patches of a step.
        edge: Edge of the median case, voxels: the geometric mean of its axes.
        features: Features of the network's first stage.
        slice_isotropy: For a 2-D network on slices of volumes, the spacing of pixels divided by the
            spacing of slices, from 0 to 1; 0 for all other networks.
        slice_anisotropy: For a 3-D network, 1 minus that ratio; 0 for all other networks.
        coefficients: Coefficients of the expected loss.
    """

    resolution_dice: float
    coverage: float
    num_axes: int
    locality: float
    steps: float
    voxels: int
    edge: float
    features: int
    slice_isotropy: float
    slice_anisotropy: float
    coefficients: Coefficients = FITTED

    @property
    def resolution(self) -> float:
        """Dice lost by coarse voxels; no network is expected to exceed the Dice of the labels."""
        return 1 - self.resolution_dice

    @property
    def training(self) -> float:
        """Dice lost by too few steps and by patches with little context."""
        weigh = self.coefficients
        effective = self.steps * (self.voxels / REFERENCE_VOXELS) ** weigh.voxels_exponent
        effective *= weigh.narrow_steps if self.features == NARROWEST else 1.0
        edge_coverage = self.coverage ** (1 / self.num_axes)
        halvings = max(0.0, log2(ENOUGH_COVERAGE / edge_coverage))
        unseen = (self.locality * halvings) ** 2
        lost = (weigh.steps + weigh.context * unseen) * (1000 / effective) ** weigh.steps_exponent
        lost *= (self.edge / REFERENCE_EDGE) ** weigh.edge_exponent
        lost *= weigh.spread + (1 - weigh.spread) * self.locality
        return float(lost + weigh.lasting_context * unseen)

    @property
    def network(self) -> float:
        """Dice lost by a narrow network, and by a network with an unsuitable number of axes."""
        widths = (NARROWEST, 2 * NARROWEST)
        narrow = dict(zip(widths, self.coefficients.narrow, strict=True)).get(self.features, 0.0)
        slices = SINGLE_SLICES * closeness(self.slice_isotropy)
        distant = 1 - closeness(1 - self.slice_anisotropy)
        return narrow + slices + self.coefficients.distant_slices * distant

    @property
    def total(self) -> float:
        """Sum of all losses; only its order among candidates is meaningful, and it may exceed 1."""
        return self.resolution + self.training + self.network


def closeness(isotropy: float) -> float:
    """Compute the closeness of slices, from 0 to 1: 1 up to twice the spacing of pixels.

    Args:
        isotropy: Spacing of pixels divided by the spacing of slices, from 0 to 1.
    """
    return min(1.0, 2 * isotropy)


def coverage(patch_shape: tuple[int, ...], median_shape: tuple[float, ...]) -> float:
    """Return the share of the median case that a patch covers, at most 1."""
    edges = zip(patch_shape, median_shape, strict=True)
    return prod(min(1.0, patch / median) for patch, median in edges)


def resolution_dice(fingerprint: Fingerprint, spacing: tuple[float, ...]) -> float | None:
    """Compute the mean Dice of the labels after resampling to a voxel size and back.

    It is interpolated between the measured factors, which are relative to each case's voxel size.

    Args:
        fingerprint: Fingerprint of the dataset.
        spacing: Voxel size, mm.

    Returns:
        The Dice, from 0 to 1; None if no case was measured, or if the voxels are coarser than the
        coarsest measured factor.
    """
    measured = [case for case in fingerprint.cases if case.coarse_dice is not None]
    factors = [min(spacing) / min(case.spacing) for case in measured]
    if not measured or np.median(factors) > COARSENING_FACTORS[-1]:
        return None
    pairs = zip(measured, factors, strict=True)
    return float(np.mean([_interpolated(case, factor) for case, factor in pairs]))


def _interpolated(case: CaseFingerprint, factor: float) -> float:
    known = (1.0, *(case.coarse_dice or ()))
    return float(np.interp(np.log(factor), np.log((1.0, *COARSENING_FACTORS)), known))


def locality(fingerprint: Fingerprint) -> float:
    """Compute the share of the image outside of the classes' extents, averaged over all of them.

    Near 0, each class is spread over the whole image (membranes, cells), so a patch needs little
    context. Near 1, a class fills a small part of the image (an organ), and a network has to
    distinguish this place from all others. 1 if the extents are unknown.
    """
    free = [
        1 - min(1.0, extent * prod(case.shape) / prod(case.shape_after_crop))
        for case in fingerprint.cases
        for extent in case.class_extents[1:]
        if extent is not None
    ]
    return float(np.mean(free)) if free else 1.0
