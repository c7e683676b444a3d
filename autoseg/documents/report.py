"""How good predictions are, per case and class."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt

from autoseg.core.frozen import Frozen
from autoseg.documents.quality import CaseAgreement

MetricName = Literal["dice", "iou", "hd95_mm", "assd_mm", "nsd"]

METRICS: tuple[MetricName, ...] = ("dice", "iou", "hd95_mm", "assd_mm", "nsd")
"""In the order in which they are shown."""


class ClassScores(Frozen):
    """One class of one case; None where a metric is not defined (see `evaluation.metrics`).

    Attributes:
        dice: Dice coefficient, 0 … 1.
        iou: Intersection over union, 0 … 1.
        hd95_mm: 95th percentile of the Hausdorff distance.
        assd_mm: Average symmetric surface distance.
        nsd: Normalised surface Dice at the case's tolerance, 0 … 1.
        reference_voxels: Size of the class in the reference.
        predicted_voxels: Size of the class in the prediction.
    """

    dice: NonNegativeFloat | None
    iou: NonNegativeFloat | None
    hd95_mm: NonNegativeFloat | None
    assd_mm: NonNegativeFloat | None
    nsd: NonNegativeFloat | None
    reference_voxels: NonNegativeInt
    predicted_voxels: NonNegativeInt

    def metric(self, name: MetricName) -> float | None:
        """Return one metric by its name."""
        value: float | None = getattr(self, name)
        return value


class CaseScores(Frozen):
    """One case.

    Attributes:
        name: The case.
        tolerance_mm: Distance within which surfaces count as equal in NSD.
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
    """

    value: float | None
    count: NonNegativeInt


class Means(Frozen):
    """The mean of each metric."""

    dice: Mean
    iou: Mean
    hd95_mm: Mean
    assd_mm: Mean
    nsd: Mean

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
        invented: Cases whose prediction has the class and whose reference does not.
        absent: Cases where neither has it; no metric counts them.
    """

    name: str
    label: NonNegativeInt
    means: Means
    missed: NonNegativeInt
    invented: NonNegativeInt
    absent: NonNegativeInt


class CaseFault(Frozen):
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
        faults: Cases that could not be scored.
        missing_predictions: References without a prediction.
        missing_references: Predictions without a reference.
        seconds_per_case: Time from image file to label map, mean over the cases that were predicted
            for this report; None if all predictions were there before, or some failed.
        agreements: How far the networks agreed with themselves on the cases that were predicted for
            this report.
    """

    schema_version: Literal[1] = 1
    classes: tuple[ClassReport, ...]
    foreground: Means
    cases: tuple[CaseScores, ...]
    faults: tuple[CaseFault, ...] = ()
    missing_predictions: tuple[str, ...] = ()
    missing_references: tuple[str, ...] = ()
    seconds_per_case: NonNegativeFloat | None = None
    agreements: tuple[CaseAgreement, ...] = ()
