"""What Dice to expect of cases without a reference."""

from collections.abc import Sequence
from pathlib import Path

from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.quality import (
    CaseAgreement,
    CaseQuality,
    ExpectedDice,
    Quality,
    QualityCurve,
)

QUALITY_NAME = "quality.json"
"""Name of the document beside the label maps."""


def expected_quality(
    agreements: Sequence[CaseAgreement], curves: Sequence[QualityCurve], labels: LabelScheme
) -> tuple[CaseQuality, ...]:
    """Return the expected Dice of every case that has one, with its error on held-out cases.

    Args:
        agreements: How far the networks agreed with themselves on each case.
        curves: What was found by cross-validation.
        labels: Whose targets the agreements are of.
    """
    by_name = {curve.name: curve for curve in curves}
    cases = []
    for case in agreements:
        targets = tuple(
            ExpectedDice(name=target.name, dice=curve.expected_dice(value), error=curve.error)
            for target, value in zip(labels.targets, case.targets, strict=True)
            if value is not None and (curve := by_name.get(target.name))
        )
        if targets:
            cases.append(CaseQuality(name=case.name, targets=targets))
    return tuple(cases)


def report_quality(
    agreements: Sequence[CaseAgreement],
    curves: Sequence[QualityCurve],
    labels: LabelScheme,
    outputs: Path,
    progress: Progress,
) -> None:
    """Say the expected Dice of every case, and write it beside the label maps.

    Cases that an earlier prediction left in the document stay there.

    Raises:
        DocumentError: If there is such a document already, but damaged.
    """
    cases = expected_quality(agreements, curves, labels)
    for case in cases:
        parts = [f"{entry.name} {entry.dice:.2f} ± {entry.error:.2f}" for entry in case.targets]
        progress.say(f"{case.name}: expected Dice: {', '.join(parts)}")
    if curves and agreements and all(set(case.targets) <= {None} for case in agreements):
        progress.say("no quality estimate: the networks were not asked about mirrored images")
    if cases:
        _add(cases, outputs / QUALITY_NAME)


def _add(cases: Sequence[CaseQuality], path: Path) -> None:
    """Put cases into a document that may be there already."""
    known: dict[str, CaseQuality] = {}
    if path.is_file():
        earlier = store.load(Quality, path, made_by="autoseg predict")
        known = {case.name: case for case in earlier.cases}
    known |= {case.name: case for case in cases}
    store.save(Quality(cases=tuple(known[name] for name in sorted(known))), path)
