"""How much Dice a size of voxels, patch and network is expected to lose in a time.

Three things cost Dice in a short training: voxels too coarse to represent the labels, patches that
see too little of the image to tell where they are, and too few steps for so fine an image. The rule
adds them up, so that sizes can be compared. It predicts the order of candidates and not the Dice of
a dataset, because some datasets are harder than others.
"""

from dataclasses import dataclass
from math import log2, prod

import numpy as np

from autoseg.documents.fingerprint import COARSENING_FACTORS, CaseFingerprint, Fingerprint

REFERENCE_VOXELS = 2**16
"""Voxels of a step that counts as one: two patches of 2^15."""

REFERENCE_EDGE = 64.0
"""Voxels along an edge of an image of which `Coefficients.steps` speaks."""

NARROWEST = 8
"""Features of the first stage of the narrowest network."""

ENOUGH_COVERAGE = 0.5
"""Share of the image of which a patch sees enough to tell where it is. Source: as `FITTED`."""


@dataclass(frozen=True)
class Coefficients:
    """What the parts of the expected loss weigh; fitted by `docs/benchmarks/regret.py`.

    Attributes:
        resolution: What a network loses by coarser voxels, relative to what the labels lose.
        steps: Dice that a training of 1000 steps on images of 64 voxels along an edge lacks.
        steps_exponent: That falls with the steps to this power.
        voxels_exponent: A step counts as its voxels to this power.
        edge_exponent: It grows with the voxels along an edge of the image to this power.
        spread: Share of it that remains where the locality of the classes is 0.
        context: Added to `steps`, times the square of the product of the locality of the classes
            and of how often the share of the image that a patch covers is halved, below one half.
        lasting_context: Dice that this square costs after any number of steps.
        narrow: Dice that networks of 8, and of 16, features lack after any number of steps.
        narrow_steps: A step of a network of 8 features counts as this share of one.
        plane: Dice that a 2-D network lacks on volumes of close slices, which it sees one by one.
        plane_steps: By which share more it loses there by too few steps.
        distant_slices: Dice that a 3-D network lacks where slices are infinitely far apart; see
            `closeness` for what lies between.
    """

    resolution: float
    steps: float
    steps_exponent: float
    voxels_exponent: float
    edge_exponent: float
    spread: float
    context: float
    lasting_context: float
    narrow: tuple[float, float]
    narrow_steps: float
    plane: float
    plane_steps: float
    distant_slices: float


FITTED = Coefficients(
    resolution=1.25,
    steps=0.033,
    steps_exponent=1.05,
    voxels_exponent=0.034,
    edge_exponent=1.05,
    spread=0.17,
    context=0.22,
    lasting_context=0.002,
    narrow=(0.019, 0.002),
    narrow_steps=0.8,
    plane=0.08,
    plane_steps=0.09,
    distant_slices=0.044,
)
"""Source: docs/pages/experiments.md, "Sizes for a time budget"."""


@dataclass(frozen=True)
class ExpectedLoss:
    """The Dice that a candidate is expected to lose, and what that follows from.

    Attributes:
        resolution_dice: Mean Dice of the labels after resampling to the candidate's voxels and
            back, from 0 to 1.
        coverage: Share of the median case that a patch covers, from 0 to 1.
        locality: Of the classes, from 0 to 1; see `locality`.
        steps: Optimiser steps in the time.
        voxels: Of the patches of a step together.
        edge: Voxels along an edge of the median case, the geometric mean of its axes.
        features: Of the network's first stage.
        slice_isotropy: Of a 2-D network on slices of volumes, the spacing of pixels as a share of
            that of slices, from 0 to 1; 0 for all other networks.
        slice_anisotropy: Of a 3-D network, what that share lacks to 1; 0 for all other networks.
        coefficients: What the parts weigh.
    """

    resolution_dice: float
    coverage: float
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
        """Dice lost to voxels that are too coarse."""
        return self.coefficients.resolution * (1 - self.resolution_dice)

    @property
    def training(self) -> float:
        """Dice lost to too few steps, which patches that see little make worse."""
        weigh = self.coefficients
        effective = self.steps * (self.voxels / REFERENCE_VOXELS) ** weigh.voxels_exponent
        effective *= weigh.narrow_steps if self.features == NARROWEST else 1.0
        halvings = max(0.0, log2(ENOUGH_COVERAGE / self.coverage))
        unseen = (self.locality * halvings) ** 2
        lost = (weigh.steps + weigh.context * unseen) * (1000 / effective) ** weigh.steps_exponent
        lost *= (self.edge / REFERENCE_EDGE) ** weigh.edge_exponent
        lost *= 1 + weigh.plane_steps * closeness(self.slice_isotropy)
        lost *= weigh.spread + (1 - weigh.spread) * self.locality
        return float(lost + weigh.lasting_context * unseen)

    @property
    def network(self) -> float:
        """Dice lost to a narrow network, and to one that has the wrong number of axes."""
        widths = (NARROWEST, 2 * NARROWEST)
        narrow = dict(zip(widths, self.coefficients.narrow, strict=True)).get(self.features, 0.0)
        slices = self.coefficients.plane * closeness(self.slice_isotropy)
        distant = 1 - closeness(1 - self.slice_anisotropy)
        return narrow + slices + self.coefficients.distant_slices * distant

    @property
    def total(self) -> float:
        """The sum; only its order among candidates means anything, and it may exceed 1."""
        return self.resolution + self.training + self.network


def closeness(isotropy: float) -> float:
    """Return the closeness of slices, from 0 to 1; 1 up to twice the spacing of pixels.

    Args:
        isotropy: Spacing of pixels as a share of that of slices, from 0 to 1.
    """
    return min(1.0, 2 * isotropy)


def coverage(patch_shape: tuple[int, ...], median_shape: tuple[float, ...]) -> float:
    """Return the share of the median case that a patch covers, at most 1."""
    edges = zip(patch_shape, median_shape, strict=True)
    return prod(min(1.0, patch / median) for patch, median in edges)


def resolution_dice(fingerprint: Fingerprint, spacing: tuple[float, ...]) -> float | None:
    """Return the mean Dice of the labels after resampling to a voxel size and back.

    Interpolated between the factors that were measured, for each case from its own voxel size.

    Args:
        fingerprint: Of the dataset.
        spacing: Voxel size, mm.

    Returns:
        From 0 to 1; None if no case was measured, or the voxels are coarser than what was measured.
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
    """Return the share of the image that classes leave free, averaged over classes and cases.

    Near 0, each class is spread over the whole image (membranes, cells), and a patch need not know
    where it is. Near 1, a class fills a small part of it (an organ), and a patch must tell that
    place from all others. 1 if nothing is known.
    """
    free = [
        1 - min(1.0, extent * prod(case.shape) / prod(case.shape_after_crop))
        for case in fingerprint.cases
        for extent in case.class_extents[1:]
        if extent is not None
    ]
    return float(np.mean(free)) if free else 1.0
