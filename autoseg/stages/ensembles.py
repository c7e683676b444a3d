"""Make the label maps of pairs of configurations on held-out cases, from stored probabilities."""

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
from autoseg.inference.averaging import ensemble_class_map
from autoseg.inference.probabilities import RECORD_FILE, has_probabilities, open_probabilities
from autoseg.readers import read_image, write_labels
from autoseg.stages.candidates import Trained
from autoseg.stages.evaluate import REPORT_NAME, LabelMapPair, evaluate_pairs
from autoseg.stages.label_state import have_labels_changed
from autoseg.stages.score_cases import label_map
from autoseg.stages.score_fold import VALIDATION_NAME, held_out_probabilities


@dataclass(frozen=True)
class _EnsembleTask:
    """One case of an ensemble.

    Attributes:
        case: Its files.
        sources: Folder of each member's probabilities.
        output: The label map to write.
    """

    case: CaseFiles
    sources: tuple[Path, ...]
    output: Path

    @property
    def is_done(self) -> bool:
        """Whether the label map is there, and younger than what it is made of."""
        if not self.output.is_file():
            return False
        made = self.output.stat().st_mtime
        records = [source / RECORD_FILE for source in self.sources]
        return all(record.is_file() and record.stat().st_mtime <= made for record in records)


def label_maps(
    members: Sequence[Trained], cases: Sequence[CaseFiles], folder: Path
) -> tuple[LabelMapPair, ...]:
    """Return, for every case, where the label map of some configurations lies or will lie.

    Args:
        members: One, whose label maps are those of its folds, or several.
        cases: Held out and scored by each of them.
        folder: For the label maps of ensembles.
    """
    return tuple(
        LabelMapPair(case.name, _place(members, case, folder), case.labels, _sources(members, case))
        for case in cases
    )


def ensemble_report(
    members: Sequence[Trained],
    cases: Sequence[CaseFiles],
    folder: Path,
    *,
    workers: int,
    progress: Progress,
) -> Report:
    """Return the scores of several configurations' averaged probabilities on held-out cases.

    Label maps and scores that are there, and younger than the probabilities, are kept; scores only
    as long as the label files are those that they are about. A case that fails is an issue of the
    report.

    Args:
        members: At least two.
        cases: Held out by a common fold of each of them.
        folder: For the label maps and `evaluation.json`.
        workers: Processes.
        progress: Where the position goes.
    """
    name = " + ".join(member.name for member in members)
    tasks = [_task(members, case, folder) for case in cases]
    left = [task for task in tasks if not task.is_done]
    known = _known_report(folder, tasks)
    if not left and known is not None:
        return known
    work = partial(_write, labels=members[0].labels)
    outcomes = run_each(work, left, workers=workers)
    done = list(progress.track(outcomes, description=f"Averaging {name}", total=len(left)))
    failed = {left[entry.index].case.name: entry for entry in done if isinstance(entry, Failure)}
    issues = tuple(UnscoredCase(name=case, message=entry.message) for case, entry in failed.items())
    report = evaluate_pairs(
        [pair for pair in label_maps(members, cases, folder) if pair.name not in failed],
        labels=members[0].labels,
        workers=workers,
        progress=progress,
    )
    report = report.model_copy(update={"issues": (*issues, *report.issues)})
    store.save(report, folder / REPORT_NAME)
    return report


def _known_report(folder: Path, tasks: Sequence[_EnsembleTask]) -> Report | None:
    """Return the report of an earlier call, if it is on these cases and their label maps of now."""
    path = folder / REPORT_NAME
    if not path.is_file():
        return None
    report = store.load(Report, path, made_by="autoseg select")
    is_older = any(
        task.output.is_file() and task.output.stat().st_mtime > path.stat().st_mtime
        for task in tasks
    )
    is_older = is_older or have_labels_changed(report, [task.case for task in tasks])
    names = {case.name for case in report.cases}
    return (
        None if is_older or report.issues or names != {task.case.name for task in tasks} else report
    )


def _task(members: Sequence[Trained], case: CaseFiles, folder: Path) -> _EnsembleTask:
    sources = _sources(members, case)
    return _EnsembleTask(case=case, sources=sources, output=_place(members, case, folder))


def _sources(members: Sequence[Trained], case: CaseFiles) -> tuple[Path, ...]:
    """Return where each member's probabilities of a held-out case lie."""
    return tuple(
        held_out_probabilities(member.fold_of(case.name).folder, case) for member in members
    )


def _place(members: Sequence[Trained], case: CaseFiles, folder: Path) -> Path:
    if len(members) > 1:
        return label_map(folder, case)
    return label_map(members[0].fold_of(case.name).folder / VALIDATION_NAME, case)


def _write(task: _EnsembleTask, *, labels: LabelScheme) -> None:
    """Write the label map of one case.

    Raises:
        CaseError: If probabilities are missing, damaged, or of another image.
    """
    for source in task.sources:
        if not has_probabilities(source):
            msg = (
                f"its probabilities are not at {source}. Run `autoseg train` for that fold again: "
                "it predicts what is missing."
            )
            raise CaseError(msg)
    members = [open_probabilities(source) for source in task.sources]
    indices = ensemble_class_map(members, workers=1)
    write_labels(labels.decode(indices), read_image(task.case.images), task.output)
