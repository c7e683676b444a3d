"""How good predictions are, per case and class."""

from typing import Literal, get_args

from pydantic import NonNegativeFloat, NonNegativeInt

from autoseg.core.frozen import Frozen
from autoseg.core.geometry import LengthUnit
from autoseg.documents.quality import CaseAgreement

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
"""All of them, in the order in which they are shown."""

FROM_PROBABILITIES: tuple[MetricName, ...] = ("ece",)
"""What label maps do not tell."""

EXPENSIVE: tuple[MetricName, ...] = ("lesion_f1", "cldice")
"""What is measured on request only."""

DEFAULT_METRICS: tuple[MetricName, ...] = tuple(
    name for name in METRICS if name not in (*EXPENSIVE, *FROM_PROBABILITIES)
)
"""What is measured of label maps if nothing else is asked for."""


class ClassScores(Frozen):
    """One class of one case.

    None stands where a metric is not defined (`evaluation.metrics` says when) or was not measured
    (`Report.metrics` says which were).

    Attributes:
        dice: Dice coefficient, 0 … 1.
        iou: Intersection over union, 0 … 1.
        hd95_mm: 95th percentile of the Hausdorff distance.
        assd_mm: Average symmetric surface distance.
        nsd: Normalised surface Dice, 0 … 1.
        sensitivity: Share of the reference that was predicted, 0 … 1.
        precision: Share of the prediction that is right, 0 … 1.
        relative_volume_error: Predicted volume minus true volume, over the true one: -1 or more;
            negative where too little was predicted.
        absolute_volume_error_ml: Size of the difference of both volumes.
        hd_mm: Hausdorff distance.
        lesion_f1: F1 score of connected components, 0 … 1.
        cldice: Dice of the centre lines, 0 … 1.
        ece: Expected calibration error of the class's probability, 0 … 1.
        reference_voxels: Size of the class in the reference.
        predicted_voxels: Size of the class in the prediction.
        tolerance_mm: The class's own tolerance in NSD; None: that of the case.
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
        """Return one metric by its name."""
        value: float | None = getattr(self, name)
        return value


class CaseScores(Frozen):
    """One case.

    Attributes:
        name: The case.
        tolerance_mm: Distance within which surfaces count as equal in NSD, for classes without a
            tolerance of their own.
        classes: Per foreground class, in the order of `Report.classes`.
    """

    name: str
    tolerance_mm: NonNegativeFloat
    classes: tuple[ClassScores, ...]


class Mean(Frozen):
    """A mean over those values that are defined.

    Attributes:
        value: The mean; None if nothing is defined.
        count: How many values it is over.
        low: Lower end of the 95 % bootstrap interval over the cases; None with fewer than two.
        high: Upper end.
    """

    value: float | None
    count: NonNegativeInt
    low: float | None = None
    high: float | None = None


UNKNOWN = Mean(value=None, count=0)


class Means(Frozen):
    """The mean of each metric; without a value where it is nowhere defined, or was not measured."""

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
        """Return one mean by the metric's name."""
        mean: Mean = getattr(self, name)
        return mean


class ClassReport(Frozen):
    """One foreground class over all cases.

    Attributes:
        name: Name of the class.
        label: Its value in label files; of a region, the value that it is written as.
        means: Over the cases where the metric is defined; `count` says how many.
        missed: Cases whose reference has the class and whose prediction does not; they have no
            distances, so look here before comparing those.
        spurious: Cases whose prediction has the class and whose reference does not.
        absent: Cases where neither has it; no metric counts them.
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
        name: The case.
        message: Why, in one sentence.
    """

    name: str
    message: str


class Report(Frozen):
    """How good predictions are.

    Attributes:
        classes: Foreground classes, ascending by label value, or regions in their order.
        foreground: Mean over the classes' means; `count` is the number of classes.
        cases: Scored cases, sorted by name.
        metrics: What was measured.
        issues: Cases that could not be scored.
        missing_predictions: References without a prediction.
        missing_references: Predictions without a reference.
        seconds_per_case: Time from image file to label map, mean over the cases that were predicted
            for this report; None if all predictions were there before, or some failed.
        agreements: How far the networks agreed with themselves on the cases that were predicted for
            this report.
        label_state: Hash over size and time of the label files that were scored against; None if
            not known.
        distance_unit: What the distances are in, whatever their names say: px if no label map says
            how large its voxels are.
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
    agreements: tuple[CaseAgreement, ...] = ()
    label_state: str | None = None
    distance_unit: LengthUnit = "mm"
