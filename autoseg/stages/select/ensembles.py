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
from autoseg.documents.report import Report, UnscoredCase
from autoseg.documents.selection import Selection
from autoseg.inference.averaging import ensemble_class_map
from autoseg.inference.probabilities import ProbabilityGrid, has_probabilities, open_probabilities
from autoseg.readers import read_image, write_labels
from autoseg.stages.evaluate.evaluate import LabelMapPair, evaluate_pairs
from autoseg.stages.evaluate.label_state import have_labels_changed
from autoseg.stages.evaluate.score_cases import label_map
from autoseg.stages.select.candidates import TrainedConfiguration
from autoseg.stages.train.score_fold import VALIDATION_NAME, held_out_probabilities


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


def is_current(pair: LabelMapPair) -> bool:
    """Return True if the label map of an ensemble exists and is newer than all probabilities."""
    if not pair.prediction.is_file():
        return False
    written = pair.prediction.stat().st_mtime
    records = [source / ProbabilityGrid.FILE_NAME for source in pair.probabilities]
    return all(record.is_file() and record.stat().st_mtime <= written for record in records)


def ensemble_report(
    members: Sequence[TrainedConfiguration],
    cases: Sequence[CaseFiles],
    folder: Path,
    *,
    workers: int,
    progress: Progress,
) -> Report:
    """Score the averaged probabilities of several configurations on held-out cases.

    Existing label maps are reused if they are newer than the probabilities. Existing scores are
    reused if the label maps and the reference files have not changed either. A case that fails
    is reported as an issue.

    Args:
        members: At least two configurations.
        cases: Cases that are held out by each member.
        folder: Output folder of the label maps and `evaluation.json`.
        workers: Number of processes.
        progress: Receives the progress.
    """
    name = " + ".join(member.name for member in members)
    pairs = label_maps(members, cases, folder)
    pending = [each for each in zip(cases, pairs, strict=True) if not is_current(each[1])]
    stored = _stored_report(folder, cases, pairs)
    if not pending and stored is not None:
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
    report = report.model_copy(update={"issues": (*issues, *report.issues)})
    store.save(report, folder / Report.FILE_NAME)
    return report


def _stored_report(
    folder: Path, cases: Sequence[CaseFiles], pairs: Sequence[LabelMapPair]
) -> Report | None:
    """Load the report of an earlier call; None if it is missing, incomplete or outdated."""
    path = folder / Report.FILE_NAME
    if not path.is_file():
        return None
    report = store.load(Report, path, made_by=Selection.MADE_BY)
    is_outdated = any(
        pair.prediction.is_file() and pair.prediction.stat().st_mtime > path.stat().st_mtime
        for pair in pairs
    )
    is_outdated = is_outdated or have_labels_changed(report, cases)
    has_other_cases = {case.name for case in report.cases} != {case.name for case in cases}
    return None if is_outdated or report.issues or has_other_cases else report


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
