"""Average stored probabilities of held-out cases over configurations, and score the result."""

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class EnsembleTask:
    """One case of an ensemble.

    Attributes:
        case: Files of the case.
        sources: Folder of each member's probabilities.
        output: Label map to write.
    """

    case: CaseFiles
    sources: tuple[Path, ...]
    output: Path

    @property
    def is_done(self) -> bool:
        """Whether the label map exists and is newer than all probabilities."""
        if not self.output.is_file():
            return False
        written = self.output.stat().st_mtime
        records = [source / ProbabilityGrid.FILE_NAME for source in self.sources]
        return all(record.is_file() and record.stat().st_mtime <= written for record in records)


def label_maps(
    members: Sequence[TrainedConfiguration], cases: Sequence[CaseFiles], folder: Path
) -> tuple[LabelMapPair, ...]:
    """Return the label map path and reference of every case for a configuration or an ensemble.

    Args:
        members: One configuration, whose folds hold the label maps, or several to average.
        cases: Cases that are held out and scored by each member.
        folder: Folder of the ensemble's label maps; unused with one member.
    """
    return tuple(
        LabelMapPair(
            case.name, _output(members, case, folder), case.labels, _sources(members, case)
        )
        for case in cases
    )


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
    tasks = [_task(members, case, folder) for case in cases]
    pending = [task for task in tasks if not task.is_done]
    stored = _stored_report(folder, tasks)
    if not pending and stored is not None:
        return stored
    work = partial(_write, labels=members[0].labels)
    outcomes = run_each(work, pending, workers=workers)
    done = list(progress.track(outcomes, description=f"Averaging {name}", total=len(pending)))
    failed = {pending[entry.index].case.name: entry for entry in done if isinstance(entry, Failure)}
    issues = tuple(UnscoredCase(name=case, message=entry.message) for case, entry in failed.items())
    pairs = [pair for pair in label_maps(members, cases, folder) if pair.name not in failed]
    report = evaluate_pairs(pairs, labels=members[0].labels, workers=workers, progress=progress)
    report = report.model_copy(update={"issues": (*issues, *report.issues)})
    store.save(report, folder / Report.FILE_NAME)
    return report


def _stored_report(folder: Path, tasks: Sequence[EnsembleTask]) -> Report | None:
    """Load the report of an earlier call; None if it is missing, incomplete or outdated."""
    path = folder / Report.FILE_NAME
    if not path.is_file():
        return None
    report = store.load(Report, path, made_by=Selection.MADE_BY)
    is_outdated = any(
        task.output.is_file() and task.output.stat().st_mtime > path.stat().st_mtime
        for task in tasks
    )
    is_outdated = is_outdated or have_labels_changed(report, [task.case for task in tasks])
    names = {case.name for case in report.cases}
    has_other_cases = names != {task.case.name for task in tasks}
    return None if is_outdated or report.issues or has_other_cases else report


def _task(members: Sequence[TrainedConfiguration], case: CaseFiles, folder: Path) -> EnsembleTask:
    sources = _sources(members, case)
    return EnsembleTask(case=case, sources=sources, output=_output(members, case, folder))


def _sources(members: Sequence[TrainedConfiguration], case: CaseFiles) -> tuple[Path, ...]:
    """Return the folder of each member's probabilities of a held-out case."""
    return tuple(
        held_out_probabilities(member.fold_of(case.name).folder, case) for member in members
    )


def _output(members: Sequence[TrainedConfiguration], case: CaseFiles, folder: Path) -> Path:
    if len(members) > 1:
        return label_map(folder, case)
    return label_map(members[0].fold_of(case.name).folder / VALIDATION_NAME, case)


def _write(task: EnsembleTask, *, labels: LabelScheme) -> None:
    """Write the label map of one case.

    Raises:
        CaseError: If probabilities are missing, damaged or of another image.
    """
    for source in task.sources:
        if not has_probabilities(source):
            msg = (
                f"no probabilities found in {source}. Run `autoseg train` for that fold again to "
                "predict them."
            )
            raise CaseError(msg)
    members = [open_probabilities(source) for source in task.sources]
    indices = ensemble_class_map(members, workers=1)
    write_labels(labels.decode(indices), read_image(task.case.images), task.output)
