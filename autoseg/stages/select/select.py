"""`autoseg select`: select a model by cross-validation."""

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from autoseg.core.atomic_write import remove_folder
from autoseg.core.errors import CaseError, ModelError
from autoseg.core.formatting import format_folds, format_names
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.quality import QualityCurve, mean_tta_consistency
from autoseg.documents.report import Report
from autoseg.documents.selection import LargestComponent, Selection
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.evaluation.leaderboard import draw_leaderboard
from autoseg.evaluation.quality import quality_curve
from autoseg.evaluation.selection import ScoredCandidate, choose, leaderboard
from autoseg.evaluation.summary import pool_reports
from autoseg.models.model_selection import selected_weights
from autoseg.stages.evaluate.evaluate import evaluate_pairs
from autoseg.stages.evaluate.label_state import have_labels_changed
from autoseg.stages.next_command import train_command
from autoseg.stages.select.candidates import (
    Comparison,
    TrainedConfiguration,
    build_comparison,
    find_trained,
)
from autoseg.stages.select.components import apply_steps, find_steps
from autoseg.stages.select.ensembles import ensemble_report, label_maps
from autoseg.stages.train.cascade import note_on_newer_stage

POSTPROCESSED_NAME = "postprocessed"
"""Folder of the selected candidate's label maps that post-processing changes."""

Members = tuple[TrainedConfiguration, ...]


@dataclass(frozen=True)
class CrossValidated:
    """Result of a selection.

    Attributes:
        selection: The selected model, with the leaderboard.
        report: Scores of the selected model on its held-out cases, after post-processing.
    """

    selection: Selection
    report: Report


def select(
    workspace: Workspace,
    *,
    allow_missing_folds: bool = False,
    workers: int,
    progress: Progress,
    dataset: DatasetSpec | None = None,
    splits: Splits | None = None,
) -> CrossValidated:
    """Select the model to predict with, and save the selection and its cross-validation.

    Candidates are the configurations with all folds trained, and the ensembles of two of them. If
    there are none, configurations with some trained folds are compared on their common held-out
    cases. Existing label maps and scores are reused.

    Args:
        workspace: Work folder of the dataset.
        allow_missing_folds: Whether configurations with missing folds are always candidates.
        workers: Number of processes.
        progress: Receives progress and messages.
        dataset: Description of the dataset; None loads it.
        splits: Folds of the cross-validation; None loads them.

    Raises:
        DocumentError: If no fold has been trained.
        ModelError: If no fold is trained and scored, or there is no common held-out case.
        CaseError: If a label map of the selected candidate cannot be read.
    """
    dataset = dataset or store.load(DatasetSpec, workspace.dataset)
    splits = splits or store.load(Splits, workspace.splits)
    trained = find_trained(workspace, dataset, splits)
    comparison = build_comparison(
        trained, len(splits.folds), allow_missing_folds=allow_missing_folds
    )
    work = _Work(workspace, dataset, max(1, workers), progress)
    _report_missing_folds(comparison, work)
    candidates = _scored_candidates(comparison, work)
    left_out = [
        _scored_candidate((entry,), entry.report(entry.cases)) for entry in comparison.left_out
    ]
    choice = choose(candidates)
    members = tuple(entry for entry in trained if entry.name in choice.candidate.members)
    steps, report = _with_postprocessing(members, work)
    selection = Selection(
        members=choice.candidate.members,
        folds=tuple(tuple(fold.number for fold in member.folds) for member in members),
        postprocessing=steps,
        reason=choice.reason + comparison.restriction,
        candidates=leaderboard(candidates),
        left_out=leaderboard(left_out),
        quality=_quality(members, report),
        weights=_weights(members, workspace),
    )
    draw_leaderboard(selection, workspace.leaderboard)
    store.save(report, workspace.cross_validation)  # saved together, last, so that they match
    store.save(selection, workspace.selection)
    return CrossValidated(selection, report)


def _weights(members: Members, workspace: Workspace) -> dict[str, str]:
    """Return `Selection.weights`."""
    selected = [
        (
            workspace.models / member.name,
            member.configuration.previous_stage,
            [fold.number for fold in member.folds],
        )
        for member in members
    ]
    return {
        f"{folder.name}/fold_{fold}": digest
        for folder, digests in selected_weights(selected).items()
        for fold, digest in digests.items()
    }


@dataclass(frozen=True)
class _Work:
    """Data shared by the comparisons of all candidates."""

    workspace: Workspace
    spec: DatasetSpec
    workers: int
    progress: Progress

    def files(self, names: frozenset[str]) -> tuple[CaseFiles, ...]:
        """Return the files of the named cases; raise a ModelError if the dataset lost one."""
        files = tuple(case for case in self.spec.cases if case.name in names)
        missing = sorted(names - {case.name for case in files})
        if missing:
            msg = (
                f"the dataset no longer has the held-out cases {format_names(missing)}, on which "
                "trained configurations are compared. Restore them, and run `autoseg plan` again."
            )
            raise ModelError(msg)
        return files


def _common_cases(comparison: Comparison) -> frozenset[str]:
    """Return the held-out cases on which all configurations are scored; there is at least one."""
    if not comparison.cases:
        names = ", ".join(entry.name for entry in comparison.trained)
        msg = (
            f"no common held-out cases to compare {names}. Train folds with held-out cases, or "
            "give the configuration to predict with: "
            "`autoseg predict --model models/<configuration>`."
        )
        raise ModelError(msg)
    return comparison.cases


def _scored_candidates(comparison: Comparison, work: _Work) -> tuple[ScoredCandidate, ...]:
    """Score all configurations, and the pairs for which every case could be averaged."""
    names = _common_cases(comparison)
    groups: list[Members] = [(entry,) for entry in comparison.trained]
    groups += combinations(comparison.trained, 2)
    candidates = []
    for members in groups:
        report = _report(members, names, work)
        name = " + ".join(member.name for member in members)
        if report.issues:
            issue = report.issues[0]
            more = f" (and {len(report.issues) - 1} more)" if len(report.issues) > 1 else ""
            work.progress.say(
                f"warning: {name} is not a candidate: {issue.name}: {issue.message}{more}"
            )
            continue
        candidates.append(_scored_candidate(members, report))
    return tuple(candidates)


def _scored_candidate(members: Members, report: Report) -> ScoredCandidate:
    times = [member.seconds_per_case for member in members]
    known = [seconds for seconds in times if seconds is not None]
    return ScoredCandidate(
        members=tuple(member.name for member in members),
        report=report,
        seconds_per_case=sum(known) if len(known) == len(times) else None,
        memory_gib=max(member.configuration.predicted_memory_gib for member in members),
    )


def _report(members: Members, names: frozenset[str], work: _Work) -> Report:
    """Return the scores of one configuration or an ensemble on the named held-out cases."""
    if len(members) == 1:
        return members[0].report(names)
    return ensemble_report(
        members,
        work.files(names),
        _folder(members, work),
        workers=work.workers,
        progress=work.progress,
    )


def _folder(members: Members, work: _Work) -> Path:
    return work.workspace.ensembles / " + ".join(member.name for member in members)


def _with_postprocessing(
    members: Members, work: _Work
) -> tuple[tuple[LargestComponent, ...], Report]:
    """Find the post-processing that improves the selected model, and score it with that.

    Both use all cases that the members have held out, which may be more than the compared ones.
    """
    names = frozenset.intersection(*(member.cases for member in members))
    report = _report(members, names, work)
    if report.issues:
        raise CaseError(f"{report.issues[0].name}: {report.issues[0].message}")
    pairs = label_maps(members, work.files(names), _folder(members, work))
    labels = members[0].labels
    steps = find_steps(pairs, labels, workers=work.workers, progress=work.progress)
    folder = work.workspace.ensembles / POSTPROCESSED_NAME
    remove_folder(folder, work.workspace.root)
    if not steps:
        return (), report
    changed = apply_steps(
        pairs, steps, folder, labels.values[0], workers=work.workers, progress=work.progress
    )
    rescored = evaluate_pairs(changed, labels=labels, workers=work.workers, progress=work.progress)
    return steps, pool_reports([rescored, report], names)


def _quality(members: Members, report: Report) -> tuple[QualityCurve, ...]:
    """Fit the expected Dice of the selected model for each target with enough held-out cases."""
    agreements = [_mean_agreement(members, case.name) for case in report.cases]
    positions = {entry.name: position for position, entry in enumerate(report.classes)}
    curves = []
    for index, target in enumerate(members[0].labels.targets):
        dice = [case.classes[positions[target.name]].dice for case in report.cases]
        column = [None if entry is None else entry[index] for entry in agreements]
        curves.append(quality_curve(target.name, column, dice))
    return tuple(curve for curve in curves if curve is not None)


def _mean_agreement(members: Members, case: str) -> tuple[float | None, ...] | None:
    """Return the members' mean TTA consistency on a case per target; None if one is unknown."""
    known = [entry for member in members if (entry := member.agreement(case)) is not None]
    return mean_tta_consistency(known) if len(known) == len(members) else None


def _report_missing_folds(comparison: Comparison, work: _Work) -> None:
    """Print which folds are missing or outdated, with the commands that train or score them."""
    for entry in (*comparison.trained, *comparison.left_out):
        for fold in entry.folds:
            if _is_outdated(fold.report, work):
                command = _command(entry, fold.number, work)
                work.progress.say(
                    f"warning: the label files of {entry.name}, fold {fold.number}, have changed "
                    f"since it was scored; `{command}` scores it again."
                )
            note = note_on_newer_stage(work.workspace, entry.configuration, fold.number)
            if note:
                work.progress.say(f"{entry.name}, fold {fold.number}: {note}")
    for entry in comparison.left_out:
        work.progress.say(
            f"note: {entry.name} is not compared, because it lacks {format_folds(entry.missing)}: "
            f"`{_command(entry, entry.missing[0], work)}`"
        )
    for entry in comparison.trained:
        if entry.missing:
            work.progress.say(
                f"note: {entry.name} lacks {format_folds(entry.missing)}: "
                f"`{_command(entry, entry.missing[0], work)}`"
            )


def _is_outdated(report: Report, work: _Work) -> bool:
    """Return True if the label files of a fold without issues changed since it was scored."""
    names = {case.name for case in report.cases}
    cases = [case for case in work.spec.cases if case.name in names]
    return not report.issues and have_labels_changed(report, cases)


def _command(entry: TrainedConfiguration, fold: int, work: _Work) -> str:
    """Build the command that trains a fold, or scores a trained one again."""
    root = work.workspace.root
    return train_command(work.spec.root, root, fold, configuration=entry.name)
