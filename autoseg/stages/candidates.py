"""Find what there is to choose from: trained configurations whose held-out cases are scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.core.errors import ModelError
from autoseg.core.labels import LabelScheme
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.model import PLAN_NAME
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.report import Report
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.evaluation.summary import pooled
from autoseg.inference.model import trained_models
from autoseg.inference.stored import trained_folds
from autoseg.stages.next_command import train_command
from autoseg.stages.score_fold import saved_report


@dataclass(frozen=True)
class ScoredFold:
    """A trained fold.

    Attributes:
        number: Which.
        folder: Where it lies.
        report: Scores of its held-out cases.
    """

    number: int
    folder: Path
    report: Report


@dataclass(frozen=True)
class Trained:
    """A configuration with at least one scored fold.

    Attributes:
        configuration: As it was trained.
        labels: The classes that it was trained on.
        folds: Ascending.
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
        """Return the first fold that held out a case and scored it."""
        return next(
            fold for fold in self.folds if case in {scored.name for scored in fold.report.cases}
        )

    def of_folds(self, numbers: Sequence[int]) -> "Trained":
        """Return it with some of its folds only."""
        folds = tuple(fold for fold in self.folds if fold.number in numbers)
        return Trained(self.configuration, self.labels, folds, self.missing)

    def report(self, names: frozenset[str]) -> Report:
        """Return the scores of some held-out cases, each once."""
        return pooled([fold.report for fold in self.folds], names)

    @property
    def cases(self) -> frozenset[str]:
        """Names of all held-out cases that are scored."""
        return frozenset(case.name for fold in self.folds for case in fold.report.cases)

    def agreement(self, case: str) -> tuple[float | None, ...] | None:
        """Return how far the network that never saw a case agreed with itself on it, per target."""
        entries = self.fold_of(case).report.agreements
        return next((entry.targets for entry in entries if entry.name == case), None)

    @property
    def seconds_per_case(self) -> float | None:
        """Measured time to predict a case with one fold's network; None if not known."""
        known = [
            (fold.report.seconds_per_case, len(fold.report.cases))
            for fold in self.folds
            if fold.report.seconds_per_case is not None and fold.report.cases
        ]
        weight = sum(count for _, count in known)
        return sum(seconds * count for seconds, count in known) / weight if known else None


@dataclass(frozen=True)
class Field:
    """Who is compared.

    Attributes:
        trained: Configurations, with the folds that they are compared on.
        left_out: Those with a scored fold that are not compared.
        folds: Numbers of the folds that are compared on.
        num_folds: How many there could be.
    """

    trained: tuple[Trained, ...]
    left_out: tuple[Trained, ...]
    folds: tuple[int, ...]
    num_folds: int

    @property
    def cases(self) -> frozenset[str]:
        """Held-out cases that all configurations have scores of."""
        return frozenset.intersection(*(entry.cases for entry in self.trained))


def find_trained(workspace: Workspace) -> tuple[Trained, ...]:
    """Return the configurations of a work folder that have a scored fold, by name.

    Raises:
        ModelError: If there are none, or they were trained on different classes.
        TrainingError: If a fold was scored on other cases than it holds out now.
    """
    splits = store.load(Splits, workspace.splits, made_by="autoseg train")
    found = [_trained(folder, splits) for folder in trained_models(workspace.root)]
    scored = tuple(entry for entry in found if entry.folds)
    if not scored:
        dataset = store.load(DatasetSpec, workspace.dataset, made_by="autoseg plan").root
        msg = (
            f"no fold of {workspace.models} is trained and scored. Run "
            f"`{train_command(dataset, workspace.root, 0)}` first."
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


def compared(found: Sequence[Trained], num_folds: int, *, allow_missing_folds: bool) -> Field:
    """Return which configurations are compared, and on which folds.

    If some configurations have all folds, only these are compared. Otherwise, or with
    `allow_missing_folds`, all that share a fold with the one that has most are compared, on the
    folds that they all have.
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
    return Field(
        trained=tuple(entry.of_folds(numbers) for entry in found if entry in chosen),
        left_out=tuple(entry for entry in found if entry not in chosen),
        folds=numbers,
        num_folds=num_folds,
    )


def _trained(folder: Path, splits: Splits) -> Trained:
    plan = store.load(Plan, folder / PLAN_NAME, made_by="autoseg train")
    folds = []
    for number in trained_folds(folder):
        if isinstance(number, int) and number < len(splits.folds):
            place = folder / f"fold_{number}"
            report = saved_report(place, splits.folds[number])
            if report is not None:
                folds.append(ScoredFold(number, place, report))
    have = {fold.number for fold in folds}
    return Trained(
        configuration=plan.configuration(folder.name),
        labels=plan.labels,
        folds=tuple(folds),
        missing=tuple(number for number in range(len(splits.folds)) if number not in have),
    )
