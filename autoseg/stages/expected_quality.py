"""What Dice to expect of cases without a reference."""

from collections.abc import Sequence
from pathlib import Path

from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Progress
from autoseg.core.text import counted
from autoseg.documents import store
from autoseg.documents.quality import (
    CaseAgreement,
    CaseQuality,
    ExpectedDice,
    Quality,
    QualityCurve,
)
from autoseg.readers import stem_of

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


class QualityReport:
    """Says the expected Dice of each case, and keeps it beside the label maps, as cases are done.

    So a prediction that is interrupted leaves it of the cases before. Cases that an earlier
    prediction left in the document stay there.
    """

    def __init__(
        self,
        curves: Sequence[QualityCurve],
        labels: LabelScheme,
        outputs: Path,
        progress: Progress,
    ) -> None:
        """Begin with no case.

        Args:
            curves: What was found by cross-validation; empty if nothing was.
            labels: Whose targets the agreements are of.
            outputs: Folder of the label maps.
            progress: Where to report to.
        """
        self._curves = curves
        self._labels = labels
        self._path = outputs / QUALITY_NAME
        self._progress = progress
        self._agreements: list[CaseAgreement] = []

    def add(self, agreement: CaseAgreement) -> None:
        """Take a case whose label map is written.

        Raises:
            DocumentError: If there is such a document already, but damaged.
        """
        self._agreements.append(agreement)
        for case in expected_quality([agreement], self._curves, self._labels):
            parts = [f"{entry.name} {entry.dice:.2f} ± {entry.error:.2f}" for entry in case.targets]
            self._progress.say(f"{case.name}: expected Dice: {', '.join(parts)}")
            known = self._known() | {case.name: case}
            store.save(Quality(cases=tuple(known[name] for name in sorted(known))), self._path)

    def finish(self, skipped: Sequence[Path]) -> None:
        """Say for which cases nothing is known.

        Args:
            skipped: Label maps that were there already.
        """
        if not self._curves:
            return
        if self._agreements and all(set(case.targets) <= {None} for case in self._agreements):
            self._progress.say(
                "no quality estimate: the networks were not asked about mirrored images"
            )
            return
        known = self._known()
        unknown = [path.name for path in skipped if stem_of(path) not in known]
        if unknown:
            self._progress.say(
                f"no quality estimate of {counted(len(unknown), 'label map')} that "
                f"{'was' if len(unknown) == 1 else 'were'} there already: "
                f"{', '.join(unknown[:5])}. Nothing was found in them, or their prediction was "
                "stopped; to predict them anew, delete them and run the same command."
            )

    def _known(self) -> dict[str, CaseQuality]:
        if not self._path.is_file():
            return {}
        earlier = store.load(Quality, self._path, made_by="autoseg predict")
        return {case.name: case for case in earlier.cases}
