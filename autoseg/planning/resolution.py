"""The voxels that a configuration works on, with the reasons for their size."""

from dataclasses import dataclass

from autoseg.planning.choice import Choice
from autoseg.planning.memory import Grid
from autoseg.planning.survey import Survey


@dataclass(frozen=True)
class Resolution:
    """What images are resampled to.

    Attributes:
        grid: Spacing and median size.
        dataset_voxels: Voxels of all cases together, roughly.
        spacing: Why this spacing; its value may be in another axis order.
        median_shape: Why this median size.
    """

    grid: Grid
    dataset_voxels: float
    spacing: Choice[tuple[float, ...]]
    median_shape: Choice[tuple[float, ...]]


def full_resolution(survey: Survey) -> Resolution:
    """Return the target spacing on all axes."""
    return Resolution(survey.grid, survey.voxels, survey.spacing, survey.median_shape)


def plane_resolution(survey: Survey) -> Resolution:
    """Return the target spacing on the two finest axes."""
    return Resolution(survey.plane, survey.voxels, survey.spacing, survey.median_shape)
