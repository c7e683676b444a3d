"""Choose post-processing steps ("keep only the largest component") by cross-validation.

The first trial covers all foreground together, further trials cover one target (class or region)
each. A step is accepted if it raises the mean Dice of its own targets and lowers that of no target.

Source: nnU-Net (Isensee et al. 2021), which decides by the same means in the same order.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from autoseg.core.arrays import LabelArray, MaskArray, mask_of
from autoseg.core.labels import LabelScheme
from autoseg.documents.selection import LargestComponent
from autoseg.evaluation.cases import annotated

DiceTable = Float[np.ndarray, "cases targets"]
"""Dice per case and target; NaN where neither prediction nor reference has the target."""

ROUNDING = 1e-9
"""Smaller differences of means count as equal: summation order can change means by that much."""


class Trial(NamedTuple):
    """A candidate post-processing step.

    Attributes:
        values: Label values; only the largest component of their union would be kept.
        about: Indices of the targets whose mean Dice has to rise.
    """

    values: tuple[int, ...]
    about: tuple[int, ...]


def trial_rounds(labels: LabelScheme) -> tuple[tuple[Trial, ...], ...]:
    """Return the trials in rounds; each round is evaluated on top of the steps accepted before.

    The first round covers all foreground. Targets without common label values cannot affect each
    other, so they share one round; overlapping regions get one round each. A single target equals
    all foreground and is tried once.
    """
    targets = labels.targets
    used = tuple(sorted({value for target in targets for value in target.values}))
    everything = Trial(values=used, about=tuple(range(len(targets))))
    if len(targets) == 1:
        return ((everything,),)
    each = tuple(Trial(target.values, (position,)) for position, target in enumerate(targets))
    overlap = sum(len(target.values) for target in targets) > len(used)
    return ((everything,), *(((trial,) for trial in each) if overlap else (each,)))


def target_dice(
    prediction: LabelArray, reference: LabelArray, labels: LabelScheme
) -> Float[np.ndarray, " targets"]:
    """Compute the Dice of each target; NaN where neither label map has it.

    Args:
        prediction: Predicted label values.
        reference: Reference label values, same shape; voxels with the ignore value are excluded.
        labels: Targets and their label values.
    """
    if labels.ignore is not None:
        prediction, reference = annotated(prediction, reference, labels)
    masks = (
        (mask_of(prediction, target.values), mask_of(reference, target.values))
        for target in labels.targets
    )
    return np.array([_dice(*pair) for pair in masks])


def decide_step(trial: Trial, before: DiceTable, after: DiceTable) -> LargestComponent | None:
    """Return the step of a trial if it improves the Dice, else None.

    Args:
        trial: The trial.
        before: Dice per case and target without the step.
        after: Dice per case and target with the step.
    """
    first, second = _means(before), _means(after)
    defined = ~np.isnan(first) & ~np.isnan(second)
    about = [position for position in trial.about if defined[position]]
    if not about or np.any(second[defined] < first[defined] - ROUNDING):
        return None
    dice_before, dice_after = float(first[about].mean()), float(second[about].mean())
    if dice_after <= dice_before + ROUNDING:
        return None
    return LargestComponent(values=trial.values, dice_before=dice_before, dice_after=dice_after)


def _means(table: DiceTable) -> Float[np.ndarray, " targets"]:
    """Return the mean of each column, ignoring NaN; NaN for columns without values."""
    counts = np.count_nonzero(~np.isnan(table), axis=0)
    return np.where(counts > 0, np.nansum(table, axis=0) / np.maximum(counts, 1), np.nan)


def _dice(predicted: MaskArray, expected: MaskArray) -> float:
    total = np.count_nonzero(predicted) + np.count_nonzero(expected)
    return 2 * np.count_nonzero(predicted & expected) / total if total else float("nan")
