"""Find the candidates for `autoseg select`: trained configurations with scored held-out cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import ModelError
from autoseg.core.formatting import format_folds
from autoseg.core.labels import LabelScheme
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.plan import Configuration
from autoseg.documents.report import Report
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.evaluation.summary import pool_reports
from autoseg.models.folder import ModelFolder, trained_folds
from autoseg.models.loader import trained_models
from autoseg.stages.next_command import train_command
from autoseg.stages.train.score_fold import saved_report


@dataclass(frozen=True)
class ScoredFold:
    """A trained fold with scored held-out cases.

    Attributes:
        number: Fold number.
        folder: Folder of the trained fold.
        report: Scores of the held-out cases.
    """

    number: int
    folder: Path
    report: Report


@dataclass(frozen=True)
class TrainedConfiguration:
    """A configuration with at least one scored fold.

    Attributes:
        configuration: The configuration, as it was trained.
        labels: Classes of the training.
        folds: Scored folds, ascending.
        missing: Numbers of the folds that are not trained or not scored.
    """

    configuration: Configuration
    labels: LabelScheme
    folds: tuple[ScoredFold, ...]
    missing: tuple[int, ...]

    @property
    def name(self) -> str:
        """Name of the configuration."""
        return self.configuration.name

    def fold_of(self, case: str) -> ScoredFold:
        """Return the first fold in which a case is held out and scored."""
        return next(
            fold for fold in self.folds if case in {scored.name for scored in fold.report.cases}
        )

    def with_folds(self, numbers: Sequence[int]) -> "TrainedConfiguration":
        """Return a copy restricted to the given folds."""
        folds = tuple(fold for fold in self.folds if fold.number in numbers)
        return TrainedConfiguration(self.configuration, self.labels, folds, self.missing)

    def report(self, names: frozenset[str]) -> Report:
        """Return the scores of the named held-out cases, each case once."""
        return pool_reports([fold.report for fold in self.folds], names)

    @property
    def cases(self) -> frozenset[str]:
        """Names of all scored held-out cases."""
        return frozenset(case.name for fold in self.folds for case in fold.report.cases)

    def agreement(self, case: str) -> tuple[float | None, ...] | None:
        """Return the TTA consistency per target of a held-out case; None if not stored."""
        entries = self.fold_of(case).report.agreements
        return next((entry.targets for entry in entries if entry.name == case), None)

    @property
    def seconds_per_case(self) -> float | None:
        """Measured time to predict a case with one fold's network; None if unknown."""
        known = [
            (fold.report.seconds_per_case, len(fold.report.cases))
            for fold in self.folds
            if fold.report.seconds_per_case is not None and fold.report.cases
        ]
        weight = sum(count for _, count in known)
        return sum(seconds * count for seconds, count in known) / weight if known else None


@dataclass(frozen=True)
class Comparison:
    """Configurations to compare, and the folds to compare them on.

    Attributes:
        trained: Configurations to compare, restricted to the common folds.
        left_out: Configurations with a scored fold that are not compared.
        folds: Numbers of the common folds.
        num_folds: Number of folds in the splits.
    """

    trained: tuple[TrainedConfiguration, ...]
    left_out: tuple[TrainedConfiguration, ...]
    folds: tuple[int, ...]
    num_folds: int

    @property
    def cases(self) -> frozenset[str]:
        """Held-out cases that are scored for all configurations."""
        return frozenset.intersection(*(entry.cases for entry in self.trained))

    @property
    def restriction(self) -> str:
        """Sentence with the compared folds; empty if all folds are compared."""
        if len(self.folds) == self.num_folds:
            return ""
        return f" Compared only on {format_folds(self.folds)} of {self.num_folds}."


def find_trained(
    workspace: Workspace, dataset: DatasetSpec, splits: Splits
) -> tuple[TrainedConfiguration, ...]:
    """Find the configurations of a work folder with at least one scored fold, sorted by name.

    Args:
        workspace: Work folder.
        dataset: Description of the dataset.
        splits: Folds of the cross-validation.

    Raises:
        ModelError: If there are none, or they were trained on different classes.
        TrainingError: If a fold was scored on other cases than it holds out now.
    """
    found = [_load_trained(folder, splits) for folder in trained_models(workspace.root)]
    scored = tuple(entry for entry in found if entry.folds)
    if not scored:
        msg = (
            f"no fold in {workspace.models} is trained and scored. Run "
            f"`{train_command(dataset.root, workspace.root, 0)}` first."
        )
        raise ModelError(msg)
    for entry in scored:
        if entry.labels != scored[0].labels:
            msg = (
                f"{scored[0].name} and {entry.name} were trained on different classes: "
                f"{list(scored[0].labels.names)} and {list(entry.labels.names)}. Move one of them "
                f"out of {workspace.models}."
            )
            raise ModelError(msg)
    return scored


def build_comparison(
    found: Sequence[TrainedConfiguration], num_folds: int, *, allow_missing_folds: bool
) -> Comparison:
    """Choose the configurations to compare, and the folds to compare them on.

    If some configurations have all folds, only these are compared. If none has, or with
    `allow_missing_folds`, start from the configuration with the most folds and add every other
    one that shares a fold with all configurations added so far; compare on the common folds.

    Args:
        found: Configurations with at least one scored fold.
        num_folds: Number of folds in the splits.
        allow_missing_folds: Whether to include configurations with missing folds in any case.
    """
    most = max(found, key=lambda entry: len(entry.folds))
    enough = 1 if allow_missing_folds or most.missing else num_folds
    common = {fold.number for fold in most.folds}
    chosen = []
    for entry in sorted(found, key=lambda entry: -len(entry.folds)):
        shared = common & {fold.number for fold in entry.folds}
        if len(entry.folds) >= enough and shared:
            chosen.append(entry)
            common = shared
    numbers = tuple(sorted(common))
    return Comparison(
        trained=tuple(entry.with_folds(numbers) for entry in found if entry in chosen),
        left_out=tuple(entry for entry in found if entry not in chosen),
        folds=numbers,
        num_folds=num_folds,
    )


def _load_trained(folder: Path, splits: Splits) -> TrainedConfiguration:
    plan = ModelFolder(folder).read_plan()
    folds = []
    for number in trained_folds(folder):
        if isinstance(number, int) and number < len(splits.folds):
            fold_folder = folder / f"fold_{number}"
            report = saved_report(fold_folder, splits.folds[number])
            if report is not None:
                folds.append(ScoredFold(number, fold_folder, report))
    scored = {fold.number for fold in folds}
    return TrainedConfiguration(
        configuration=plan.configuration(folder.name),
        labels=plan.labels,
        folds=tuple(folds),
        missing=tuple(number for number in range(len(splits.folds)) if number not in scored),
    )
