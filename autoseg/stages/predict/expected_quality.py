"""Estimate the Dice of predictions without a reference, from their TTA consistency."""

from collections.abc import Sequence
from pathlib import Path

from autoseg.core.formatting import format_count, format_names
from autoseg.core.labels import LabelScheme
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.quality import (
    CaseQuality,
    CaseTtaConsistency,
    ExpectedDice,
    Quality,
    QualityCurve,
)
from autoseg.readers import stem_of


class QualityReport:
    """Report the expected Dice of each case and save it with the label maps after every case.

    After an interrupted prediction the estimates of all finished cases are therefore on disk. The
    estimates of earlier predictions in the same folder are kept.
    """

    def __init__(
        self,
        curves: Sequence[QualityCurve],
        labels: LabelScheme,
        outputs: Path,
        progress: Progress,
    ) -> None:
        """Initialize the report without cases.

        Args:
            curves: Expected Dice by TTA consistency, fitted in cross-validation; may be empty.
            labels: Label scheme whose targets the consistencies refer to.
            outputs: Folder of the label maps.
            progress: Receives the messages.
        """
        self._curves = {curve.name: curve for curve in curves}
        self._labels = labels
        self._path = outputs / Quality.FILE_NAME
        self._progress = progress
        self._agreements: list[CaseTtaConsistency] = []

    def add(self, agreement: CaseTtaConsistency) -> None:
        """Add a case whose label map has been written.

        Raises:
            DocumentError: If the existing `quality.json` is damaged.
        """
        self._agreements.append(agreement)
        targets = tuple(
            ExpectedDice(name=target.name, dice=curve.expected_dice(value), error=curve.error)
            for target, value in zip(self._labels.targets, agreement.targets, strict=True)
            if value is not None and (curve := self._curves.get(target.name))
        )
        if not targets:
            return
        parts = [f"{entry.name} {entry.dice:.2f} ± {entry.error:.2f}" for entry in targets]
        self._progress.say(f"{agreement.name}: expected Dice: {', '.join(parts)}")
        saved = self._saved()
        saved[agreement.name] = CaseQuality(name=agreement.name, targets=targets)
        store.save(Quality(cases=tuple(saved[name] for name in sorted(saved))), self._path)

    def finish(self, skipped: Sequence[Path]) -> None:
        """Report the cases without an estimate.

        Args:
            skipped: Label maps that existed before this prediction.
        """
        if not self._curves:
            return
        if self._agreements and all(set(case.targets) <= {None} for case in self._agreements):
            self._progress.say("no quality estimate: it requires TTA (prediction with mirroring)")
            return
        saved = self._saved()
        missing = [path.name for path in skipped if stem_of(path) not in saved]
        if missing:
            self._progress.say(
                f"no quality estimate for {format_count(len(missing), 'existing label map')}: "
                f"{format_names(missing)}. No target was found in them, or their prediction was "
                "interrupted; to predict them again, delete them and run the same command."
            )

    def _saved(self) -> dict[str, CaseQuality]:
        if not self._path.is_file():
            return {}
        earlier = store.load(Quality, self._path)
        return {case.name: case for case in earlier.cases}
