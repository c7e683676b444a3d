"""Average stored probabilities of held-out cases over configurations, and score the result."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme
from autoseg.core.parallel import Failure, run_each
from autoseg.core.progress import Progress
from autoseg.documents import store
from autoseg.documents.dataset import CaseFiles
from autoseg.documents.report import Means, Report, UnscoredCase
from autoseg.documents.selection import Selection
from autoseg.inference.averaging import ensemble_class_map
from autoseg.inference.probabilities import has_probabilities, open_probabilities
from autoseg.models.folder import weights_digest
from autoseg.readers import read_image, write_labels
from autoseg.stages.evaluate.evaluate import LabelMapPair, evaluate_pairs
from autoseg.stages.evaluate.label_state import have_labels_changed
from autoseg.stages.evaluate.score_cases import label_map
from autoseg.stages.select.candidates import TrainedConfiguration
from autoseg.stages.train.score_fold import VALIDATION_NAME, fold_key, held_out_probabilities


def label_maps(
    members: Sequence[TrainedConfiguration], cases: Sequence[CaseFiles], folder: Path
) -> tuple[LabelMapPair, ...]:
    """Return the label map path and reference of every case for a configuration or an ensemble.

    Args:
        members: One configuration, whose folds hold the label maps, or several to average.
        cases: Cases that are held out and scored by each member.
        folder: Folder of the ensemble's label maps; unused with one member.
    """
    pairs = []
    for case in cases:
        folds = [member.fold_of(case.name).folder for member in members]
        outputs = folder if len(members) > 1 else folds[0] / VALIDATION_NAME
        sources = tuple(held_out_probabilities(fold, case) for fold in folds)
        pairs.append(LabelMapPair(case.name, label_map(outputs, case), case.labels, sources))
    return tuple(pairs)


def _remove_outdated(
    members: Sequence[TrainedConfiguration], pairs: Sequence[LabelMapPair], folder: Path
) -> Report | None:
    """Delete label maps whose networks have changed; return the stored report, None without one.

    What the remaining label maps were made of is saved first, so that an interrupted call resumes.
    """
    path = folder / Report.FILE_NAME
    stored = store.load(Report, path, made_by=Selection.MADE_BY) if path.is_file() else None
    known = {} if stored is None else stored.weights
    folds = [fold.folder for member in members for fold in member.folds]
    weights = {fold_key(fold): weights_digest(fold) or "" for fold in folds}
    if known == weights:
        return stored
    changed = {key for key, digest in weights.items() if known.get(key) != digest}
    for pair in pairs:
        sources = {fold_key(source.parents[2]) for source in pair.probabilities}
        if sources & changed:
            pair.prediction.unlink(missing_ok=True)
    report = Report(classes=(), foreground=Means(), cases=(), weights=weights)
    store.save(report, path)
    return report


def ensemble_report(
    members: Sequence[TrainedConfiguration],
    cases: Sequence[CaseFiles],
    folder: Path,
    *,
    workers: int,
    progress: Progress,
) -> Report:
    """Score the averaged probabilities of several configurations on held-out cases.

    Existing label maps are reused if they were made with the same networks. Existing scores are
    reused if the reference files have not changed either. A case that fails is reported as an
    issue.

    Args:
        members: At least two configurations.
        cases: Cases that are held out by each member.
        folder: Output folder of the label maps and `evaluation.json`.
        workers: Number of processes.
        progress: Receives the progress.
    """
    name = " + ".join(member.name for member in members)
    pairs = label_maps(members, cases, folder)
    stored = _remove_outdated(members, pairs, folder)
    tasks = zip(cases, pairs, strict=True)
    pending = [task for task in tasks if not task[1].prediction.is_file()]
    if not pending and stored is not None and _is_complete(stored, cases):
        return stored
    work = partial(_write, labels=members[0].labels)
    outcomes = run_each(work, pending, workers=workers)
    tracked = progress.track(outcomes, description=f"Averaging {name}", total=len(pending))
    issues = [
        UnscoredCase(name=pending[outcome.index][0].name, message=outcome.message)
        for outcome in tracked
        if isinstance(outcome, Failure)
    ]
    failed = {issue.name for issue in issues}
    written = [pair for pair in pairs if pair.name not in failed]
    report = evaluate_pairs(written, labels=members[0].labels, workers=workers, progress=progress)
    weights = {} if stored is None else stored.weights
    update = {"issues": (*issues, *report.issues), "weights": weights}
    report = report.model_copy(update=update)
    store.save(report, folder / Report.FILE_NAME)
    return report


def _is_complete(report: Report, cases: Sequence[CaseFiles]) -> bool:
    """Return True if the report of an earlier call has the current scores of all cases."""
    has_all = {case.name for case in report.cases} == {case.name for case in cases}
    return has_all and not report.issues and not have_labels_changed(report, cases)


def _write(task: tuple[CaseFiles, LabelMapPair], *, labels: LabelScheme) -> None:
    """Write the label map of one case."""
    case, pair = task
    for source in pair.probabilities:
        if not has_probabilities(source):
            msg = (
                f"no probabilities found in {source}. Run `autoseg train` for that fold again to "
                "predict them."
            )
            raise CaseError(msg)
    members = [open_probabilities(source) for source in pair.probabilities]
    indices = ensemble_class_map(members, workers=1)
    write_labels(labels.decode(indices), read_image(case.images), pair.prediction)
