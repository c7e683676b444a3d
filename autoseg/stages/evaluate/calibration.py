"""Compute the calibration error of stored probabilities and add it to a case's scores."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from autoseg.core.arrays import LabelArray, mask_of
from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme, Region
from autoseg.documents.report import ClassScores
from autoseg.evaluation.cases import ScoredCase
from autoseg.evaluation.metrics.ece import CalibrationError
from autoseg.inference.averaging import mean_probabilities
from autoseg.inference.export import cropped_view
from autoseg.inference.probabilities import ProbabilityGrid, has_probabilities, open_probabilities


def with_calibration(
    scored: ScoredCase, reference: LabelArray, folders: Sequence[Path], labels: LabelScheme
) -> ScoredCase:
    """Add the expected calibration error (ECE) of every class or region to a case's scores.

    All annotated voxels of the image are included; voxels outside the crop have probability 0.
    The ECE is None for a class that occurs in neither label map. If probabilities are missing,
    the scores are returned unchanged.

    Args:
        scored: Scores of the case without ECE.
        reference: Reference label values, canonical axis order.
        folders: One folder of stored probabilities per network; the probabilities are averaged.
        labels: Classes, regions and ignore value.

    Raises:
        CaseError: If the probabilities are damaged or belong to another image.
    """
    if not all(map(has_probabilities, folders)):
        return scored
    errors = _errors(reference, folders, labels)
    if not labels.regions:  # regions are all scored, in order; classes only where they occur
        written = [target.written_as for target in labels.targets]
        errors = [errors[written.index(value)] for value in scored.values]
    return replace(
        scored,
        scores=tuple(
            entry.model_copy(update={"ece": error if _is_present(entry) else None})
            for entry, error in zip(scored.scores, errors, strict=True)
        ),
        metrics=(*scored.metrics, "ece"),
    )


def _errors(
    reference: LabelArray, folders: Sequence[Path], labels: LabelScheme
) -> list[float | None]:
    """Compute the expected calibration error of every target, in the order of `labels.targets`."""
    members = [open_probabilities(folder) for folder in folders]
    grid = members[0].grid
    _check_grid(grid, reference, labels, folders[0])
    cropped = cropped_view(reference, grid.restoration)
    first = grid.num_outputs - len(labels.targets)  # the background class is not scored
    errors = [CalibrationError() for _ in labels.targets]
    for piece in mean_probabilities(members, range(first, grid.num_outputs)):
        position = piece.output - first
        block = cropped[slice(*piece.planes), slice(*piece.rows)]
        _add_block(errors[position], piece.probabilities, block, labels, labels.targets[position])
    for error, target in zip(errors, labels.targets, strict=True):
        inside, total = (_counts(part, labels, target) for part in (cropped, reference))
        error.add_certain(total[0] - inside[0], total[1] - inside[1])
    return [error.value() for error in errors]


def _add_block(
    error: CalibrationError,
    probabilities: Float32[np.ndarray, "planes rows columns"] | None,
    block: LabelArray,
    labels: LabelScheme,
    target: Region,
) -> None:
    """Add one block of one target; `probabilities` is None where they are all 0."""
    if probabilities is None:
        error.add_certain(*_counts(block, labels, target))
        return
    known = block != labels.ignore if labels.ignore is not None else np.ones(block.shape, bool)
    error.add(probabilities[known], mask_of(block, target.values)[known])


def _counts(array: LabelArray, labels: LabelScheme, target: Region) -> tuple[int, int]:
    """Count the annotated voxels, and the voxels of the target."""
    ignored = 0 if labels.ignore is None else np.count_nonzero(array == labels.ignore)
    return array.size - int(ignored), int(np.count_nonzero(mask_of(array, target.values)))


def _is_present(scores: ClassScores) -> bool:
    return scores.reference_voxels > 0 or scores.predicted_voxels > 0


def _check_grid(
    grid: ProbabilityGrid, reference: LabelArray, labels: LabelScheme, folder: Path
) -> None:
    """Raise a CaseError if probabilities do not match the size and classes of a reference."""
    found = grid.restoration.full_shape, grid.num_outputs, grid.is_regional
    expected = reference.shape, labels.num_outputs, bool(labels.regions)
    if found != expected:
        msg = (
            f"{folder} holds {found[1]} probabilities per voxel of an image of {found[0]} voxels; "
            f"expected {expected[1]} for {expected[0]}. Delete this folder and run "
            "`autoseg train` for that fold again."
        )
        raise CaseError(msg)
