"""The model card: what a model was made from, what it expects, and how good it was found to be.

Source: Mitchell et al., "Model Cards for Model Reporting", FAT* 2019, for what a card says.
"""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from autoseg.core.frozen import Fraction, Frozen
from autoseg.documents.report import Means
from autoseg.documents.selection import Estimate
from autoseg.documents.splits import FoldName
from autoseg.documents.versions import Versions

CARD_NAME = "card.json"
"""The card as a document."""

CARD_PAGE_NAME = "model_card.md"
"""The card to read."""

UNSTATED_LICENSE = "not stated: ask whoever gave you this file before you use or pass it on"


class CardChannel(Frozen):
    """One image channel that the model expects.

    Attributes:
        name: What the training data calls it.
        normalizer: How its intensities are brought to a common scale.
    """

    name: str
    normalizer: str


class CardClass(Frozen):
    """One class that the model tells apart.

    Attributes:
        name: Its name.
        value: Its value in label maps; of a region, the value that it is written as.
        cases: How many training cases hold it; None if not known.
    """

    name: str
    value: NonNegativeInt
    cases: NonNegativeInt | None = None


class AxisRange(Frozen):
    """Least, median and greatest value over the training cases, along one canonical axis."""

    least: PositiveFloat
    median: PositiveFloat
    greatest: PositiveFloat


class DataSummary(Frozen):
    """The training data in numbers: what an image is compared with before it is predicted.

    Attributes:
        num_cases: Cases of the dataset, those held out in each fold included.
        spacing_mm: Voxel size, per canonical axis.
        shape_voxels: Size, per canonical axis.
        extent_mm: Field of view, voxels times voxel size, per canonical axis.
        intensities: 0.5th and 99.5th percentile of the foreground, per channel.
        least_foreground: Smallest share of foreground voxels in any case that has some.
        axis_directions: All ways in which voxel axes were stored, e.g. "SPL"; empty if not known.
        greatest_tilt_degrees: Between voxel axes and world axes; None if not known.
    """

    num_cases: PositiveInt
    spacing_mm: tuple[AxisRange, ...]
    shape_voxels: tuple[AxisRange, ...]
    extent_mm: tuple[AxisRange, ...]
    intensities: tuple[tuple[float, float], ...]
    least_foreground: Fraction
    axis_directions: tuple[str, ...] = ()
    greatest_tilt_degrees: NonNegativeFloat | None = None


class CardFold(Frozen):
    """One trained network and its scores.

    Attributes:
        fold: Which fold.
        steps: Optimiser steps; None if no record was found.
        seconds: Training time; None if no record was found.
        versions: Of the software that trained it; None if no record was found.
        scored_cases: How many the scores are over; 0 if there are none.
        resubstitution: Whether it was trained on these cases, so that the scores say nothing about
            new ones.
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
        name: Of the configuration.
        architecture: Kind of the network.
        parameters: Weights of one network.
        working_spacing_mm: What images are resampled to, planned axis order.
        is_member: Whether it predicts; else it is a previous stage of a cascade that does.
        folds: The networks.
    """

    name: str
    architecture: str
    parameters: PositiveInt
    working_spacing_mm: tuple[PositiveFloat, ...]
    is_member: bool
    folds: tuple[CardFold, ...]


class CardSelection(Frozen):
    """What was chosen to predict, and how good it was on all held-out cases.

    Attributes:
        reason: Why, in one sentence.
        held_out_cases: How many cases the scores are over.
        classes: Cross-validated Dice of each class, with its interval.
        dice: Mean over the classes.
        postprocessing: Label values of which only the largest component is kept, step by step.
    """

    reason: str
    held_out_cases: NonNegativeInt
    classes: tuple[tuple[str, Estimate], ...]
    dice: Estimate
    postprocessing: tuple[tuple[NonNegativeInt, ...], ...]


class ModelCard(Frozen):
    """What one should know before using a model.

    Attributes:
        dataset_name: What it was trained on.
        license: Of the model; for its author to state.
        configurations: The networks; those that predict come first.
        num_axes: 2 for pictures, 3 for volumes.
        channels: What images must have, in this order.
        classes: Background first.
        orientation: What is done with an image's orientation.
        data: Of the training; None if no fingerprint was found.
        choice: What was chosen by cross-validation; None if nothing was.
        autoseg: Version that wrote the card.
        origin: What trained the networks; None for autoseg itself.
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
