"""Compare the stored probabilities of held-out cases with their labels."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from autoseg.core.arrays import LabelArray, mask_of
from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme
from autoseg.inference.averaging import ProbabilityBlock, mean_probabilities
from autoseg.inference.export import cropped_view
from autoseg.inference.probabilities import Probabilities, open_probabilities
from autoseg.reporting.label_errors import (
    ConfidenceSums,
    LabelErrors,
    find_label_errors,
)
from autoseg.stages.evaluate.evaluate import read_label_map
from autoseg.stages.report.drawing import CaseTask


class _Block(NamedTuple):
    """A part of a case: probabilities of one target, labels and place.

    Attributes:
        target: Index of the target.
        place: Planes and rows in the cropped view.
        probabilities: 0 … 1.
        truth: Whether the voxels have the target.
        known: Whether the voxels are annotated.
    """

    target: int
    place: tuple[slice, slice]
    probabilities: np.ndarray
    truth: np.ndarray
    known: np.ndarray


def confidence_sums(task: CaseTask) -> ConfidenceSums:
    """Sum the probabilities of a case over its labels."""
    sums = ConfidenceSums.empty(len(task.labels.targets))
    for block in _blocks(task, _reference(task)):
        sums.add(block.target, block.probabilities[block.known], block.truth[block.known])
    return sums


def label_errors(task: CaseTask, sums: ConfidenceSums) -> LabelErrors:
    """Find the suspicious labels of a case.

    Args:
        task: The case.
        sums: Sums over all cases, from which the thresholds follow.
    """
    reference = _reference(task)
    index_type = np.min_scalar_type(len(task.labels.targets))
    missing, extra = (np.zeros(reference.shape, index_type) for _ in range(2))
    restoration = _probabilities(task).grid.restoration
    present, absent = sums.thresholds
    foreground = 0
    for block in _blocks(task, reference):
        planes, rows = block.place
        is_high = block.probabilities >= present[block.target]
        is_low = 1 - block.probabilities >= absent[block.target]
        for targets, found in ((missing, ~block.truth & is_high), (extra, block.truth & is_low)):
            view = cropped_view(targets, restoration)[planes, rows]
            view[found & block.known] = block.target + 1
        foreground += int(np.count_nonzero(block.truth | (block.probabilities > 0.5)))
    return find_label_errors(task.files.name, missing, extra, foreground)


def _reference(task: CaseTask) -> LabelArray:
    """Read the label values of a case, canonical axis order."""
    partner = task.files.labels if task.prediction is None else task.prediction
    return read_label_map(task.files.labels, partner).values


def _probabilities(task: CaseTask) -> Probabilities:
    if task.probabilities is None:
        msg = f"no probabilities of {task.files.name} are stored. Train its fold again."
        raise CaseError(msg)
    return open_probabilities(task.probabilities)


def _blocks(task: CaseTask, reference: LabelArray) -> Iterator[_Block]:
    """Yield the parts of a case in which a target is labelled or not ruled out."""
    labels, member = task.labels, _probabilities(task)
    first = member.grid.num_outputs - len(labels.targets)  # the background has no target
    cropped = cropped_view(reference, member.grid.restoration)
    for piece in mean_probabilities([member], range(first, member.grid.num_outputs)):
        yield _block(piece, piece.output - first, cropped, labels)


def _block(
    piece: ProbabilityBlock, target: int, cropped: LabelArray, labels: LabelScheme
) -> _Block:
    place = slice(*piece.planes), slice(*piece.rows)
    values = cropped[place]
    known = np.ones(values.shape, bool) if labels.ignore is None else values != labels.ignore
    probabilities = piece.probabilities
    if probabilities is None:
        probabilities = np.zeros(values.shape, np.float32)
    truth = mask_of(values, labels.targets[target].values)
    return _Block(target, place, probabilities, truth, known)
