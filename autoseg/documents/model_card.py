"""The model card: training data, expected inputs and scores of a model.

Source of the contents: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019.
"""

from collections.abc import Sequence
from statistics import median
from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat

from autoseg.core.frozen import Fraction, Frozen, NonNegativeInt, PositiveInt
from autoseg.core.geometry import LengthUnit, length_unit
from autoseg.documents.fingerprint import CaseFingerprint, Fingerprint
from autoseg.documents.report import Means
from autoseg.documents.selection import Estimate
from autoseg.documents.splits import FoldName
from autoseg.documents.versions import Versions

CARD_NAME = "card.json"
"""Name of the model card as a JSON document."""

CARD_PAGE_NAME = "model_card.md"
"""Name of the model card as a page for readers."""

UNSTATED_LICENSE = "not stated: ask the person who gave you this file before you use or share it"


class CardChannel(Frozen):
    """One image channel that the model expects.

    Attributes:
        name: Name in the training data.
        normalizer: Normalisation of its intensities.
    """

    name: str
    normalizer: str


class CardClass(Frozen):
    """One class that the model predicts.

    Attributes:
        name: Name of the class.
        value: Value in label maps; for a region, the value that it is written as.
        cases: Number of training cases that contain it; None if unknown.
    """

    name: str
    value: NonNegativeInt
    cases: NonNegativeInt | None = None


class AxisRange(Frozen):
    """Smallest, median and largest value over the training cases, along one canonical axis."""

    least: PositiveFloat
    median: PositiveFloat
    greatest: PositiveFloat


class DataSummary(Frozen):
    """Summary of the training data, with which images are compared before prediction.

    Attributes:
        num_cases: Number of cases in the dataset, including those held out in each fold.
        spacing_mm: Voxel size, per canonical axis.
        shape_voxels: Size, per canonical axis.
        extent_mm: Field of view (voxels times voxel size), per canonical axis.
        intensities: 0.5th and 99.5th percentile of the foreground, per channel.
        least_foreground: Smallest fraction of foreground voxels over the cases with foreground.
        axis_directions: All directions of the stored voxel axes, e.g. "SPL"; empty if unknown.
        greatest_tilt_degrees: Largest angle between voxel axes and world axes; None if unknown.
        length_unit: Unit of lengths, despite names such as `spacing_mm`.
    """

    num_cases: PositiveInt
    spacing_mm: tuple[AxisRange, ...]
    shape_voxels: tuple[AxisRange, ...]
    extent_mm: tuple[AxisRange, ...]
    intensities: tuple[tuple[float, float], ...]
    least_foreground: Fraction
    axis_directions: tuple[str, ...] = ()
    greatest_tilt_degrees: NonNegativeFloat | None = None
    length_unit: LengthUnit = "mm"

    @property
    def unit(self) -> LengthUnit:
        """Unit of lengths: px for 2-D images without a physical size."""
        edges = (edge for axis in self.spacing_mm for edge in (axis.least, axis.greatest))
        return length_unit(len(self.spacing_mm), edges, self.length_unit)


class CardFold(Frozen):
    """One trained network and its scores.

    Attributes:
        fold: The fold.
        steps: Number of optimiser steps; None if there is no record.
        seconds: Training time; None if there is no record.
        versions: Versions of the software that trained it; None if there is no record.
        scored_cases: Number of scored cases; 0 if there are no scores.
        resubstitution: Whether the scored cases were also trained on, so that the scores do not
            apply to new cases.
        classes: Mean scores per foreground class, in the order of the report.
        foreground: Mean over the classes; None if there are no scores.
    """

    fold: FoldName
    steps: PositiveInt | None = None
    seconds: NonNegativeFloat | None = None
    versions: Versions | None = None
    scored_cases: NonNegativeInt = 0
    resubstitution: bool = False
    classes: tuple[tuple[str, Means], ...] = ()
    foreground: Means | None = None


class CardConfiguration(Frozen):
    """The networks of one configuration.

    Attributes:
        name: Name of the configuration.
        architecture: Name of the network architecture.
        parameters: Number of weights of one network.
        working_spacing_mm: Spacing that images are resampled to, planned axis order.
        is_member: Whether its predictions are used; if not, it is a previous stage of a cascade.
        folds: The networks, one per fold.
    """

    name: str
    architecture: str
    parameters: PositiveInt
    working_spacing_mm: tuple[PositiveFloat, ...]
    is_member: bool
    folds: tuple[CardFold, ...]


class CardSelection(Frozen):
    """The selected configurations, and their scores over all held-out cases.

    Attributes:
        reason: Reason for the selection, one sentence.
        held_out_cases: Number of scored cases.
        classes: Cross-validated Dice of each class, with its confidence interval.
        dice: Mean Dice over the classes.
        postprocessing: Post-processing steps in order: the label values of which only the largest
            component is kept.
    """

    reason: str
    held_out_cases: NonNegativeInt
    classes: tuple[tuple[str, Estimate], ...]
    dice: Estimate
    postprocessing: tuple[tuple[NonNegativeInt, ...], ...]


class ModelCard(Frozen):
    """Information for users of a model.

    Attributes:
        dataset_name: Name of the training dataset.
        license: License of the model, stated by its author.
        configurations: The configurations; those whose predictions are used come first.
        num_axes: 2 for 2-D images, 3 for volumes.
        channels: Required image channels, in this order.
        classes: The classes, background first.
        orientation: How the orientation of images is handled.
        data: Summary of the training data; None without a fingerprint.
        choice: Selection by cross-validation; None without one.
        autoseg: Version of autoseg that wrote the model card.
        origin: Software that trained the networks; None for autoseg itself.
    """

    schema_version: Literal[1] = 1
    dataset_name: str
    license: str = UNSTATED_LICENSE
    configurations: tuple[CardConfiguration, ...]
    num_axes: Literal[2, 3]
    channels: tuple[CardChannel, ...]
    classes: tuple[CardClass, ...]
    orientation: str
    data: DataSummary | None
    choice: CardSelection | None = None
    autoseg: str
    origin: str | None = None


def summarize_fingerprint(fingerprint: Fingerprint) -> DataSummary:
    """Summarise the cases and channels of a fingerprint."""
    cases = fingerprint.cases
    tilts = [case.tilt_degrees for case in cases if case.tilt_degrees is not None]
    return DataSummary(
        num_cases=len(cases),
        spacing_mm=_ranges([case.spacing for case in cases]),
        shape_voxels=_ranges([case.shape for case in cases]),
        extent_mm=_ranges([extent_mm(case.shape, case.spacing) for case in cases]),
        intensities=tuple(
            (channel.percentile_00_5, channel.percentile_99_5) for channel in fingerprint.channels
        ),
        least_foreground=min((share for case in cases if (share := _foreground(case))), default=0),
        axis_directions=tuple(sorted({case.axis_directions for case in cases} - {""})),
        greatest_tilt_degrees=max(tilts, default=None),
        length_unit=fingerprint.unit,
    )


def extent_mm(shape: Sequence[int], spacing: Sequence[float]) -> tuple[float, ...]:
    """Return the field of view of an image along each axis, in the unit of the spacing."""
    return tuple(size * step for size, step in zip(shape, spacing, strict=True))


def _foreground(case: CaseFingerprint) -> float:
    """Return the fraction of a case's voxels that are not background."""
    return sum(case.class_voxels[1:]) / sum(case.class_voxels)


def _ranges(rows: Sequence[Sequence[float | int]]) -> tuple[AxisRange, ...]:
    return tuple(
        AxisRange(least=min(values), median=median(values), greatest=max(values))
        for values in zip(*rows, strict=True)
    )
