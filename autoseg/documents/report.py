"""Evaluation report: scores of predictions per case and class."""

from typing import Literal, get_args

from pydantic import NonNegativeFloat, NonNegativeInt

from autoseg.core.frozen import Frozen
from autoseg.core.geometry import LengthUnit
from autoseg.documents.quality import CaseTtaConsistency

MetricName = Literal[
    "dice",
    "iou",
    "hd95_mm",
    "assd_mm",
    "nsd",
    "sensitivity",
    "precision",
    "relative_volume_error",
    "absolute_volume_error_ml",
    "hd_mm",
    "lesion_f1",
    "cldice",
    "ece",
]

METRICS: tuple[MetricName, ...] = get_args(MetricName)
"""All metrics, in the order in which they are shown."""

FROM_PROBABILITIES: tuple[MetricName, ...] = ("ece",)
"""Metrics that need probabilities and cannot be computed from label maps."""

EXPENSIVE: tuple[MetricName, ...] = ("lesion_f1", "cldice")
"""Metrics that are computed only on request."""

DEFAULT_METRICS: tuple[MetricName, ...] = tuple(
    name for name in METRICS if name not in (*EXPENSIVE, *FROM_PROBABILITIES)
)
"""Default metrics of label maps."""


class ClassScores(Frozen):
    """Scores of one class of one case.

    A metric is None if it is undefined (see `evaluation.metrics`) or was not computed (see
    `Report.metrics`).

    Attributes:
        dice: Dice coefficient, 0 … 1.
        iou: Intersection over union, 0 … 1.
        hd95_mm: 95th percentile of the Hausdorff distance.
        assd_mm: Average symmetric surface distance.
        nsd: Normalised surface Dice, 0 … 1.
        sensitivity: Fraction of the reference that was predicted, 0 … 1.
        precision: Fraction of the prediction that is correct, 0 … 1.
        relative_volume_error: Predicted minus reference volume, divided by the reference volume;
            -1 or more, negative for under-segmentation.
        absolute_volume_error_ml: Absolute difference of both volumes, ml.
        hd_mm: Hausdorff distance.
        lesion_f1: F1 score of connected components, 0 … 1.
        cldice: Dice of the centre lines, 0 … 1.
        ece: Expected calibration error of the class's probability, 0 … 1.
        reference_voxels: Voxels of the class in the reference.
        predicted_voxels: Voxels of the class in the prediction.
        tolerance_mm: NSD tolerance of the class; None for the tolerance of the case.
    """

    dice: NonNegativeFloat | None = None
    iou: NonNegativeFloat | None = None
    hd95_mm: NonNegativeFloat | None = None
    assd_mm: NonNegativeFloat | None = None
    nsd: NonNegativeFloat | None = None
    sensitivity: NonNegativeFloat | None = None
    precision: NonNegativeFloat | None = None
    relative_volume_error: float | None = None
    absolute_volume_error_ml: NonNegativeFloat | None = None
    hd_mm: NonNegativeFloat | None = None
    lesion_f1: NonNegativeFloat | None = None
    cldice: NonNegativeFloat | None = None
    ece: NonNegativeFloat | None = None
    reference_voxels: NonNegativeInt
    predicted_voxels: NonNegativeInt
    tolerance_mm: NonNegativeFloat | None = None

    def metric(self, name: MetricName) -> float | None:
        """Return a metric by its name."""
        value: float | None = getattr(self, name)
        return value


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


class Means(Frozen):
    """Mean of each metric; has no value if the metric is undefined or was not computed."""

    dice: Mean = UNKNOWN
    iou: Mean = UNKNOWN
    hd95_mm: Mean = UNKNOWN
    assd_mm: Mean = UNKNOWN
    nsd: Mean = UNKNOWN
    sensitivity: Mean = UNKNOWN
    precision: Mean = UNKNOWN
    relative_volume_error: Mean = UNKNOWN
    absolute_volume_error_ml: Mean = UNKNOWN
    hd_mm: Mean = UNKNOWN
    lesion_f1: Mean = UNKNOWN
    cldice: Mean = UNKNOWN
    ece: Mean = UNKNOWN

    def metric(self, name: MetricName) -> Mean:
        """Return the mean of a metric by its name."""
        mean: Mean = getattr(self, name)
        return mean


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


class Report(Frozen):
    """Evaluation of predictions.

    Attributes:
        classes: Foreground classes, ascending by label value, or regions in their order.
        foreground: Mean over the classes' means; `count` is the number of classes.
        cases: Scored cases, sorted by name.
        metrics: Metrics that were computed.
        issues: Cases that could not be scored.
        missing_predictions: Names of references without a prediction.
        missing_references: Names of predictions without a reference.
        seconds_per_case: Mean time from image file to label map over the cases that were predicted
            for this report; None if all predictions existed before, or some failed.
        agreements: TTA consistency of the cases that were predicted for this report.
        label_state: Hash of size and modification time of the reference files; None if unknown.
        distance_unit: Unit of all distances, despite names such as `hd95_mm`: px if no label map
            stores a voxel size.
    """

    schema_version: Literal[1] = 1
    classes: tuple[ClassReport, ...]
    foreground: Means
    cases: tuple[CaseScores, ...]
    metrics: tuple[MetricName, ...] = DEFAULT_METRICS
    issues: tuple[UnscoredCase, ...] = ()
    missing_predictions: tuple[str, ...] = ()
    missing_references: tuple[str, ...] = ()
    seconds_per_case: NonNegativeFloat | None = None
    agreements: tuple[CaseTtaConsistency, ...] = ()
    label_state: str | None = None
    distance_unit: LengthUnit = "mm"
