"""`autoseg select`: compare what is trained by cross-validation, and choose."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from autoseg.core.errors import CaseError, ModelError
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles, DatasetSpec
from autoseg.documents.quality import QualityCurve, mean_agreement
from autoseg.documents.report import Report
from autoseg.documents.selection import LargestComponent, Selection
from autoseg.documents.splits import Splits
from autoseg.documents.workspace import Workspace
from autoseg.evaluation.leaderboard import draw_leaderboard
from autoseg.evaluation.quality import quality_curve
from autoseg.evaluation.selection import Contender, choose, leaderboard
from autoseg.evaluation.summary import pooled
from autoseg.stages.candidates import Field, Trained, compared, find_trained
from autoseg.stages.cascade import note_on_newer_stage
from autoseg.stages.components import apply_steps, find_steps
from autoseg.stages.ensembles import ensemble_report, label_maps
from autoseg.stages.evaluate import evaluate_pairs
from autoseg.stages.label_state import have_labels_changed
from autoseg.stages.next_command import train_command

POSTPROCESSED_NAME = "postprocessed"
"""Folder of the chosen candidate's label maps that post-processing changes."""

Members = tuple[Trained, ...]


def select(
    workspace: Workspace, *, allow_missing_folds: bool = False, workers: int, progress: Progress
) -> Selection:
    """Choose what to predict with, save it with its cross-validation, and return it.

    Candidates are the configurations whose folds are all trained, and every pair of them; as long
    as there are none, those with some folds trained, on the held-out cases that all of them have.
    Label maps and scores that are there already are used as they are.

    Args:
        workspace: Work folder of the dataset.
        allow_missing_folds: Whether configurations with some folds missing always take part.
        workers: Processes.
        progress: Where the position goes, and what is left out.

    Raises:
        ModelError: If nothing is trained and scored, or there is no common held-out case.
        CaseError: If a label map of the chosen candidate cannot be read.
    """
    found = find_trained(workspace)
    splits = store.load(Splits, workspace.splits, made_by="autoseg train")
    field = compared(found, len(splits.folds), allow_missing_folds=allow_missing_folds)
    work = _Work(workspace, _spec(workspace), max(1, workers), progress)
    _say_what_is_missing(field, work)
    contenders = _contenders(field, work)
    choice = choose(contenders)
    members = tuple(entry for entry in found if entry.name in choice.contender.members)
    steps, report = _finished(members, work)
    selection = Selection(
        members=choice.contender.members,
        folds=tuple(tuple(fold.number for fold in member.folds) for member in members),
        postprocessing=steps,
        reason=choice.reason + _restriction(field),
        candidates=leaderboard(contenders),
        left_out=leaderboard(
            [_contender((entry,), entry.report(entry.cases)) for entry in field.left_out]
        ),
        quality=_quality(members, report),
    )
    draw_leaderboard(selection, workspace.leaderboard)
    store.save(report, workspace.cross_validation)  # the two that belong together go last
    store.save(selection, workspace.selection)
    return selection


def load_cross_validation(workspace: Workspace) -> Report:
    """Return the scores of the choice on its held-out cases, after post-processing.

    Raises:
        DocumentError: If nothing was selected yet.
    """
    return store.load(Report, workspace.cross_validation, made_by="autoseg select")


@dataclass(frozen=True)
class _Work:
    """What stays the same while candidates are compared."""

    workspace: Workspace
    spec: DatasetSpec
    workers: int
    progress: Progress

    def files(self, names: frozenset[str]) -> tuple[CaseFiles, ...]:
        """Return the files of some cases, by name.

        Raises:
            ModelError: If the dataset has one of them no longer.
        """
        files = tuple(case for case in self.spec.cases if case.name in names)
        missing = sorted(names - {case.name for case in files})
        if missing:
            msg = (
                f"the dataset no longer has the held-out cases {missing[:5]}, on which trained "
                "configurations are compared. Put them back, and run `autoseg plan` again."
            )
            raise ModelError(msg)
        return files


def _spec(workspace: Workspace) -> DatasetSpec:
    return store.load(DatasetSpec, workspace.dataset, made_by="autoseg plan")


def _common_cases(field: Field) -> frozenset[str]:
    """Return the held-out cases that all configurations have scores of.

    Raises:
        ModelError: If there are none.
    """
    if not field.cases:
        names = ", ".join(entry.name for entry in field.trained)
        msg = (
            f"there is no held-out case that all of {names} have scores of, so nothing to choose "
            "by. Train folds that hold cases out, or name the configuration to predict with: "
            "`autoseg predict --model models/<configuration>`."
        )
        raise ModelError(msg)
    return field.cases


def _contenders(field: Field, work: _Work) -> tuple[Contender, ...]:
    """Return the single configurations and those pairs of which every case could be averaged."""
    names = _common_cases(field)
    groups: list[Members] = [(entry,) for entry in field.trained]
    groups += combinations(field.trained, 2)
    contenders = []
    for members in groups:
        report = _report(members, names, work)
        name = " + ".join(member.name for member in members)
        if report.issues:
            issue = report.issues[0]
            more = f" (and {len(report.issues) - 1} more)" if len(report.issues) > 1 else ""
            work.progress.say(f"warning: without {name}: {issue.name}: {issue.message}{more}")
            continue
        contenders.append(_contender(members, report))
    return tuple(contenders)


def _contender(members: Members, report: Report) -> Contender:
    times = [member.seconds_per_case for member in members]
    known = [seconds for seconds in times if seconds is not None]
    return Contender(
        members=tuple(member.name for member in members),
        report=report,
        seconds_per_case=sum(known) if len(known) == len(times) else None,
        memory_gib=max(member.configuration.predicted_memory_gib for member in members),
    )


def _report(members: Members, names: frozenset[str], work: _Work) -> Report:
    """Return the scores of one configuration or an ensemble on some held-out cases."""
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


def _finished(members: Members, work: _Work) -> tuple[tuple[LargestComponent, ...], Report]:
    """Return the post-processing that helps the choice, and its scores with it.

    Both rest on all cases that the members have held out, which may be more than were compared on.

    Raises:
        CaseError: If a label map cannot be read or averaged.
    """
    names = frozenset.intersection(*(member.cases for member in members))
    report = _report(members, names, work)
    if report.issues:
        raise CaseError(f"{report.issues[0].name}: {report.issues[0].message}")
    pairs = label_maps(members, work.files(names), _folder(members, work))
    labels = members[0].labels
    steps = find_steps(pairs, labels, workers=work.workers, progress=work.progress)
    folder = work.workspace.ensembles / POSTPROCESSED_NAME
    shutil.rmtree(folder, ignore_errors=True)
    if not steps:
        return (), report
    changed = apply_steps(
        pairs, steps, folder, labels.values[0], workers=work.workers, progress=work.progress
    )
    again = evaluate_pairs(changed, labels=labels, workers=work.workers, progress=work.progress)
    return steps, pooled([again, report], names)


def _quality(members: Members, report: Report) -> tuple[QualityCurve, ...]:
    """Return what Dice to expect of the choice, per target that has enough held-out cases."""
    agreements = [_mean_agreement(members, case.name) for case in report.cases]
    positions = {entry.name: position for position, entry in enumerate(report.classes)}
    curves = []
    for index, target in enumerate(members[0].labels.targets):
        dice = [case.classes[positions[target.name]].dice for case in report.cases]
        column = [None if entry is None else entry[index] for entry in agreements]
        curves.append(quality_curve(target.name, column, dice))
    return tuple(curve for curve in curves if curve is not None)


def _mean_agreement(members: Members, case: str) -> tuple[float | None, ...] | None:
    """Return the members' mean agreement on a case, per target; None if one's is not known."""
    known = [entry for member in members if (entry := member.agreement(case)) is not None]
    return mean_agreement(known) if len(known) == len(members) else None


def _say_what_is_missing(field: Field, work: _Work) -> None:
    """Name the folds that could still be trained, or should be again, with the commands that do."""
    for entry in (*field.trained, *field.left_out):
        for fold in entry.folds:
            if _is_outdated(fold.report, work):
                command = _command(entry, fold.number, work)
                work.progress.say(
                    f"warning: the label files of {entry.name}, fold {fold.number}, have changed "
                    f"since it was scored; `{command}` scores it anew."
                )
            note = note_on_newer_stage(work.workspace, entry.configuration, fold.number)
            if note:
                work.progress.say(f"{entry.name}, fold {fold.number}: {note}")
    for entry in field.left_out:
        work.progress.say(
            f"note: {entry.name} is not compared, because it lacks {_folds(entry.missing)}: "
            f"`{_command(entry, entry.missing[0], work)}`"
        )
    for entry in field.trained:
        if entry.missing:
            work.progress.say(
                f"note: {entry.name} lacks {_folds(entry.missing)}: "
                f"`{_command(entry, entry.missing[0], work)}`"
            )


def _is_outdated(report: Report, work: _Work) -> bool:
    """Return whether the label files of a fold without issues are not those it was scored on."""
    names = {case.name for case in report.cases}
    cases = [case for case in work.spec.cases if case.name in names]
    return not report.issues and have_labels_changed(report, cases)


def _command(entry: Trained, fold: int, work: _Work) -> str:
    """Return the command that trains a fold, or scores it anew."""
    root = work.workspace.root
    return train_command(work.spec.root, root, fold, configuration=entry.name)


def _restriction(field: Field) -> str:
    """Return the sentence that says on which folds the comparison rests, if not on all."""
    if len(field.folds) == field.num_folds:
        return ""
    return f" Compared on {_folds(field.folds)} of {field.num_folds} alone."


def _folds(numbers: Sequence[int]) -> str:
    return f"fold{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
