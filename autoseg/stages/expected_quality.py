"""Say what Dice to expect of cases without a reference."""

from collections.abc import Sequence

from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Progress
from autoseg.documents.quality import CaseAgreement, QualityCurve


def say_expected_dice(
    agreements: Sequence[CaseAgreement],
    curves: Sequence[QualityCurve],
    labels: LabelScheme,
    progress: Progress,
) -> None:
    """Say the expected Dice of every case and class, with its error on held-out cases.

    Args:
        agreements: How far the networks agreed with themselves on each case.
        curves: What was found by cross-validation; says nothing if there are none.
        labels: Whose targets the agreements are of.
        progress: Where to say it.
    """
    by_name = {curve.name: curve for curve in curves}
    for case in agreements:
        parts = [
            f"{target.name} {curve.expected_dice(value):.2f} ± {curve.error:.2f}"
            for target, value in zip(labels.targets, case.targets, strict=True)
            if value is not None and (curve := by_name.get(target.name))
        ]
        if parts:
            progress.say(f"{case.name}: expected Dice: {', '.join(parts)}")
    if curves and agreements and all(set(case.targets) <= {None} for case in agreements):
        progress.say("no quality estimate: the networks were not asked about mirrored images")
