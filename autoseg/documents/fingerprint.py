"""Fingerprint of a dataset: the measurements that planning is based on.

It stores the measurements of each case. Partial fingerprints (from two machines or two hospitals)
can be merged without the images, and unchanged cases need not be read again.
"""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat, model_validator

from autoseg.core.errors import DocumentError
from autoseg.core.formatting import format_names
from autoseg.core.frozen import Fraction, Frozen, NonNegativeInt, PositiveInt
from autoseg.core.geometry import LengthUnit
from autoseg.core.labels import LabelScheme
from autoseg.core.limits import Spacing
from autoseg.core.names import FileName
from autoseg.documents.document import Document

QUANTILE_LEVELS: tuple[float, ...] = (
    *(0.0, 0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2),
    *(0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95),
    *(0.965, 0.98, 0.99, 0.9925, 0.995, 0.9975, 0.999, 0.9995, 1.0),
)
"""Quantile levels of each case's foreground intensities; dense in the tails, because CT clipping
needs the 0.5 and 99.5 percentiles after merging."""

COARSENING_FACTORS: tuple[float, ...] = (1.5, 2.0, 3.0, 4.0, 6.0)
"""Spacings at which `CaseFingerprint.coarse_dice` is measured, as multiples of the finest one."""


class CaseIntensities(Frozen):
    """Foreground intensities of one channel of one case; the foreground is all classes but 0.

    For a case without foreground, all its nonzero voxels are used.

    Attributes:
        mean: Arithmetic mean.
        std: Population standard deviation.
        quantiles: Values at `QUANTILE_LEVELS`.
    """

    mean: float
    std: float
    quantiles: tuple[float, ...]


class CaseFingerprint(Frozen):
    """Measurements of one case, in canonical array order.

    Attributes:
        name: Name of the case.
        source: Path, size and modification time of each file; if unchanged, the case is not read
            again.
        shape: Size in voxels.
        spacing: Voxel size.
        unit: Unit of the voxel size; mm also if the files state none.
        shape_after_crop: Size of the bounding box of the voxels that are nonzero in any channel.
        class_voxels: Number of voxels of each class, by class index.
        class_centres: Centre of mass of each class, as a fraction of the image size along each
            axis; None for absent classes.
        class_extents: Fraction of the image that each class spreads over, 1 if it is everywhere;
            None for absent classes.
        intensities: Foreground intensities of each channel.
        is_integer: Whether all intensities are integers.
        fits_8_bits: Whether all intensities are integers from 0 to 255.
        axis_directions: Directions of the stored voxel axes, e.g. "SPL"; empty if unknown.
        tilt_degrees: Largest angle between a voxel axis and its world axis; None if unknown.
        forms_difference: Rows of qform and sform of a NIfTI header that disagree; otherwise empty.
        coarse_dice: Mean Dice of the labels after resampling to coarser voxels and back, for each
            of `COARSENING_FACTORS`; None if not measured, or without foreground.
    """

    name: FileName
    source: tuple[tuple[str, int, int], ...]
    shape: tuple[PositiveInt, ...]
    spacing: tuple[Spacing, ...]
    shape_after_crop: tuple[PositiveInt, ...]
    class_voxels: tuple[NonNegativeInt, ...]
    class_centres: tuple[tuple[Fraction, ...] | None, ...]
    class_extents: tuple[Fraction | None, ...]
    intensities: tuple[CaseIntensities, ...]
    is_integer: bool
    fits_8_bits: bool
    axis_directions: str = ""
    tilt_degrees: NonNegativeFloat | None = None
    forms_difference: str = ""
    coarse_dice: tuple[Fraction, ...] | None = None
    unit: LengthUnit = "mm"


def _has_valid_lists(case: CaseFingerprint, axes: int, channels: int, classes: int) -> bool:
    """Return True if all lists of a case have the expected lengths."""
    return (
        len(case.shape) == len(case.spacing) == len(case.shape_after_crop) == axes
        and len(case.class_voxels) == len(case.class_centres) == len(case.class_extents) == classes
        and len(case.intensities) == channels
        and any(case.class_voxels)
        and (case.coarse_dice is None or len(case.coarse_dice) == len(COARSENING_FACTORS))
        and all(len(each.quantiles) == len(QUANTILE_LEVELS) for each in case.intensities)
        and all(centre is None or len(centre) == axes for centre in case.class_centres)
    )


class ChannelIntensities(Frozen):
    """Foreground intensities of one channel over the dataset; all cases have the same weight.

    Source: nnU-Net samples the same number of foreground voxels from every case. This is the limit
    of that sampling, computed from the merged quantiles of `CaseIntensities`.
    """

    mean: float
    std: float
    median: float
    minimum: float
    maximum: float
    percentile_00_5: float
    percentile_99_5: float


class Fingerprint(Document):
    """Measurements of a dataset.

    Attributes:
        dataset_name: Name of the dataset.
        num_axes: Number of image axes: 2 or 3.
        channel_names: One name per image channel.
        labels: The classes.
        cases: Measurements of each case, sorted by name.
        channels: Foreground intensities of each channel over all cases.
    """

    FILE_NAME: ClassVar[str] = "fingerprint.json"
    MADE_BY: ClassVar[str] = "autoseg plan DATASET"
    schema_version: Literal[1] = 1
    dataset_name: str
    num_axes: Literal[2, 3]
    channel_names: tuple[str, ...]
    labels: LabelScheme
    cases: tuple[CaseFingerprint, ...]
    channels: tuple[ChannelIntensities, ...]

    @model_validator(mode="after")
    def _check_lengths(self) -> "Fingerprint":
        """Check that all lists have one entry per axis, channel, class or level."""
        axes, channels = self.num_axes, len(self.channel_names)
        classes = self.labels.num_classes
        for case in self.cases:
            if not _has_valid_lists(case, axes, channels, classes):
                msg = (
                    f"the lists of the case {case.name} are of other lengths than {axes} axes, "
                    f"{channels} channels, {classes} classes and the levels of quantiles."
                )
                raise ValueError(msg)
        if not self.cases or len(self.channels) != channels:
            msg = f"found {len(self.cases)} cases and {len(self.channels)} of {channels} channels."
            raise ValueError(msg)
        return self

    @property
    def unit(self) -> LengthUnit:
        """Unit of voxel sizes, the same for all cases."""
        return self.cases[0].unit

    @property
    def class_frequencies(self) -> tuple[float, ...]:
        """Fraction of all voxels that belong to each class; sums to 1."""
        voxels = np.sum([case.class_voxels for case in self.cases], axis=0, dtype=np.float64)
        return tuple((voxels / voxels.sum()).tolist())

    @property
    def cases_with_class(self) -> tuple[int, ...]:
        """Number of cases that contain each class."""
        return tuple(np.count_nonzero([case.class_voxels for case in self.cases], axis=0).tolist())

    @property
    def median_relative_size_after_crop(self) -> float:
        """Median over cases of (voxels after the nonzero crop) / (voxels before); in (0, 1]."""
        ratios = [np.prod(case.shape_after_crop) / np.prod(case.shape) for case in self.cases]
        return float(np.median(ratios))


def combine(
    *,
    dataset_name: str,
    channel_names: tuple[str, ...],
    labels: LabelScheme,
    cases: tuple[CaseFingerprint, ...],
) -> Fingerprint:
    """Build the fingerprint of a dataset from the fingerprints of its cases.

    As in nnU-Net, only cases with foreground contribute to the intensities, if there are any.

    Args:
        dataset_name: Name of the dataset.
        channel_names: One name per image channel.
        labels: The classes.
        cases: Fingerprints of the cases, at least one.
    """
    ordered = tuple(sorted(cases, key=lambda case: case.name))
    with_foreground = [case for case in ordered if any(case.class_voxels[1:])]
    channels = tuple(
        merge_intensities([case.intensities[channel] for case in with_foreground or ordered])
        for channel in range(len(channel_names))
    )
    return Fingerprint(
        dataset_name=dataset_name,
        num_axes=len(ordered[0].shape),
        channel_names=channel_names,
        labels=labels,
        cases=ordered,
        channels=channels,
    )


def merge(first: Fingerprint, second: Fingerprint) -> Fingerprint:
    """Merge the fingerprints of two parts of one dataset.

    Raises:
        DocumentError: If channels, labels or the number of axes differ, or a case is in both.
    """
    for field in ("channel_names", "labels", "num_axes"):
        if getattr(first, field) != getattr(second, field):
            msg = (
                f"fingerprints can be merged only if their {field} are equal; found "
                f"{getattr(first, field)!r} and {getattr(second, field)!r}."
            )
            raise DocumentError(msg)
    twice = sorted({case.name for case in first.cases} & {case.name for case in second.cases})
    if twice:
        names = format_names(twice)
        msg = f"cases {names} are in both fingerprints; rename or remove one of each."
        raise DocumentError(msg)
    return combine(
        dataset_name=first.dataset_name,
        channel_names=first.channel_names,
        labels=first.labels,
        cases=first.cases + second.cases,
    )


def merge_intensities(parts: list[CaseIntensities]) -> ChannelIntensities:
    """Merge the intensities of several cases, each with the same weight.

    Mean and standard deviation are exact. Percentiles are computed by inverting the mean of the
    cases' cumulative distributions, each piecewise linear between `QUANTILE_LEVELS`.
    """
    means = np.array([part.mean for part in parts])
    variances = np.array([part.std for part in parts]) ** 2
    mean = float(means.mean())
    std = float(np.sqrt((variances + (means - mean) ** 2).mean()))
    quantiles = np.array([part.quantiles for part in parts])
    low, median, high = _mixture_quantiles(quantiles, (0.005, 0.5, 0.995))
    return ChannelIntensities(
        mean=mean,
        std=std,
        median=median,
        minimum=float(quantiles[:, 0].min()),
        maximum=float(quantiles[:, -1].max()),
        percentile_00_5=low,
        percentile_99_5=high,
    )


def _mixture_quantiles(quantiles: NDArray[np.float64], levels: tuple[float, ...]) -> list[float]:
    """Return the values at which the cases' mean cumulative distribution reaches `levels`."""
    values = []
    for level in levels:
        low, high = float(quantiles[:, 0].min()), float(quantiles[:, -1].max())
        for _ in range(60):
            middle = (low + high) / 2
            below = _distribution(quantiles, middle).mean()
            low, high = (middle, high) if below < level else (low, middle)
        values.append((low + high) / 2)
    return values


def _distribution(quantiles: NDArray[np.float64], value: float) -> NDArray[np.float64]:
    """Return the fraction of intensities below a value, for each case.

    Vectorised version of `numpy.interp(value, row, QUANTILE_LEVELS)` for all rows.
    """
    levels = np.array(QUANTILE_LEVELS)
    passed = np.count_nonzero(quantiles <= value, axis=1)
    left = np.clip(passed - 1, 0, levels.size - 2)
    rows = np.arange(len(quantiles))
    start, stop = quantiles[rows, left], quantiles[rows, left + 1]
    inside = (passed > 0) & (passed < levels.size)
    slope = (levels[left + 1] - levels[left]) / np.where(inside, stop - start, 1)
    between = slope * (value - start) + levels[left]
    return np.asarray(np.where(inside, between, np.where(passed > 0, levels[-1], levels[0])))
