"""Evaluation report: scores of predictions per case and class."""

from typing import ClassVar, Literal

from pydantic import Field, FiniteFloat, NonNegativeFloat

from autoseg.core.frozen import Frozen, NonNegativeInt
from autoseg.core.geometry import LengthUnit
from autoseg.documents.document import Document
from autoseg.documents.quality import CaseTtaConsistency


class ClassScores(Frozen, extra="allow"):
    """Scores of one class of one case.

    All fields other than the ones below are metrics: finite numbers, or None if undefined. Names
    and meanings of the metrics are those of `evaluation.metrics`.

    Attributes:
        reference_voxels: Voxels of the class in the reference.
        predicted_voxels: Voxels of the class in the prediction.
        tolerance_mm: NSD tolerance of the class; None for the tolerance of the case.
    """

    __pydantic_extra__: dict[str, FiniteFloat | None] = Field(init=False)

    reference_voxels: NonNegativeInt
    predicted_voxels: NonNegativeInt
    tolerance_mm: NonNegativeFloat | None = None

    def metric(self, name: str) -> float | None:
        """Return a metric by its name; None if it is undefined or was not computed."""
        return self.__pydantic_extra__.get(name)

    @property
    def dice(self) -> float | None:
        """Dice coefficient, 0 … 1."""
        return self.metric("dice")


class CaseScores(Frozen):
    """Scores of one case.

    Attributes:
        name: Name of the case.
        tolerance_mm: NSD tolerance of classes without their own tolerance.
        classes: Scores of each foreground class, in the order of `Report.classes`.
    """

    name: str
    tolerance_mm: NonNegativeFloat
    classes: tuple[ClassScores, ...]


class Mean(Frozen):
    """A mean over the defined values.

    Attributes:
        value: The mean; None if no value is defined.
        count: Number of defined values.
        low: Lower bound of the 95 % bootstrap interval over the cases; None for fewer than two.
        high: Upper bound of this interval.
    """

    value: float | None
    count: NonNegativeInt
    low: float | None = None
    high: float | None = None


UNKNOWN = Mean(value=None, count=0)


class Means(Frozen, extra="allow"):
    """Means of the metrics; each field is the mean of the metric of that name."""

    __pydantic_extra__: dict[str, Mean] = Field(init=False)

    def metric(self, name: str) -> Mean:
        """Return the mean of a metric; it has no value if the metric was not computed."""
        return self.__pydantic_extra__.get(name, UNKNOWN)

    @property
    def dice(self) -> Mean:
        """Mean Dice coefficient."""
        return self.metric("dice")


class ClassReport(Frozen):
    """Scores of one foreground class over all cases.

    Attributes:
        name: Name of the class.
        label: Value in label files; for a region, the value that it is written as.
        means: Mean of each metric over the `count` cases in which it is defined.
        missed: Number of cases with the class in the reference but not in the prediction. Distances
            are undefined for them, so take this number into account when comparing distances.
        spurious: Number of cases with the class in the prediction but not in the reference.
        absent: Number of cases with the class in neither; no metric includes them.
    """

    name: str
    label: NonNegativeInt
    means: Means
    missed: NonNegativeInt
    spurious: NonNegativeInt
    absent: NonNegativeInt


class UnscoredCase(Frozen):
    """A case that could not be scored.

    Attributes:
        name: Name of the case.
        message: Reason, one sentence.
    """

    name: str
    message: str


class Report(Document):
    """Evaluation of predictions.

    Attributes:
        classes: Foreground classes, ascending by label value, or regions in their order.
        foreground: Mean over the classes' means; `count` is the number of classes.
        cases: Scored cases, sorted by name.
        metrics: Names of the metrics that were computed.
        issues: Cases that could not be scored.
        missing_predictions: Names of references without a prediction.
        missing_references: Names of predictions without a reference.
        seconds_per_case: Mean time from image file to label map over the cases that were predicted
            for this report; None if all predictions existed before, or some failed.
        agreements: TTA consistency of the cases that were predicted for this report.
        label_state: Hash of size and modification time of the reference files; None if unknown.
        label_content: Hash of their content, which decides if the times differ; None if unknown.
        weights: Hash of the weights of each fold that predicted for this report, by the names of
            configuration and fold; empty if unknown.
        distance_unit: Unit of all distances, despite names such as `hd95_mm`: that of the
            label maps, px if none stores a voxel size.
    """

    FILE_NAME: ClassVar[str] = "evaluation.json"
    MADE_BY: ClassVar[str] = "autoseg train"
    schema_version: Literal[1] = 1
    classes: tuple[ClassReport, ...]
    foreground: Means
    cases: tuple[CaseScores, ...]
    metrics: tuple[str, ...] = ()
    issues: tuple[UnscoredCase, ...] = ()
    missing_predictions: tuple[str, ...] = ()
    missing_references: tuple[str, ...] = ()
    seconds_per_case: NonNegativeFloat | None = None
    agreements: tuple[CaseTtaConsistency, ...] = ()
    label_state: str | None = None
    label_content: str | None = None
    weights: dict[str, str] = Field(default_factory=dict)
    distance_unit: LengthUnit = "mm"
