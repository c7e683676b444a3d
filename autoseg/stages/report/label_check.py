"""Look for labels that the held-out predictions of all folds contradict."""

from collections.abc import Sequence
from functools import partial

from autoseg.documents.dataset import CaseFiles
from autoseg.reporting.label_errors import ConfidenceSums, LabelErrors, merged
from autoseg.reporting.label_section import LabelFindings, describe_region
from autoseg.stages.report.confidence import confidence_sums, label_errors
from autoseg.stages.report.drawing import CaseTask, Drawer
from autoseg.stages.report.scores import CrossValidation, viewer_of

SHOWN = 10
"""Number of cases whose slices are drawn."""


def confidence_of(
    cases: Sequence[CaseFiles], found: CrossValidation, drawer: Drawer
) -> tuple[list[CaseTask], ConfidenceSums]:
    """Sum the stored probabilities of held-out cases over their labels.

    Args:
        cases: The cases; those without stored probabilities are skipped.
        found: Their predictions.
        drawer: Reads the cases.
    """
    labels = found.trained.labels
    tasks = [
        CaseTask(case, labels, found.label_map(case), found.probabilities(case))
        for case in cases
        if found.probabilities(case) is not None
    ]
    sums, _ = drawer.each(confidence_sums, tasks, "Reading probabilities")
    return tasks, merged(sums, len(labels.targets))


def find_suspicious_labels(
    tasks: Sequence[CaseTask], sums: ConfidenceSums, found: CrossValidation, drawer: Drawer
) -> LabelFindings:
    """Rank the cases by their suspicious labels, and draw the first ones.

    Args:
        tasks: The cases with their probabilities.
        sums: Sums over all of them.
        found: Their scores.
        drawer: Reads and draws the cases.
    """
    errors, _ = drawer.each(partial(label_errors, sums=sums), tasks, "Comparing labels")
    errors.sort(key=lambda entry: (-entry.score, entry.name))
    labels = found.trained.labels
    names = tuple(target.name for target in labels.targets)
    by_name = {task.files.name: task for task in tasks}
    shown = [entry for entry in errors if entry.regions][:SHOWN]
    slices = drawer.slices([_slices_of(by_name[entry.name], entry, names) for entry in shown])
    note = "The first cases of the table, at their largest suspicious region."
    viewer = viewer_of("Slices of suspicious labels", slices, labels, note) if slices else None
    return LabelFindings(tuple(errors), names, found.report, viewer)


def _slices_of(task: CaseTask, errors: LabelErrors, names: Sequence[str]) -> CaseTask:
    region = errors.regions[0]
    is_volume = len(region.centre) == 3
    return CaseTask(
        files=task.files,
        labels=task.labels,
        prediction=task.prediction,
        caption=f"{task.files.name}: {describe_region(region, names)}",
        focus=region.centre[0] if is_volume else None,
    )
