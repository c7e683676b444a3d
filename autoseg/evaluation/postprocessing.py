"""Decide, by cross-validation, of what only the largest component is kept.

First all foreground together is tried, then one target (class or region) after the other. Nothing
is kept that does not raise the mean Dice of what it is about, or that lowers any target's.

Source: nnU-Net (Isensee et al. 2021), which decides by the same means in the same order.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from autoseg.core.arrays import LabelArray, MaskArray
from autoseg.core.labels import LabelScheme, Region
from autoseg.documents.selection import LargestComponent

DiceTable = Float[np.ndarray, "cases targets"]
"""NaN where neither prediction nor reference have a target."""

ROUNDING = 1e-9
"""Means that differ by less are equal: the order of a sum may change that much."""


class Trial(NamedTuple):
    """A step that may help.

    Attributes:
        values: Label values of whose union only the largest component would be kept.
        about: Positions of the targets whose mean Dice has to rise.
    """

    values: tuple[int, ...]
    about: tuple[int, ...]


def rounds(labels: LabelScheme) -> tuple[tuple[Trial, ...], ...]:
    """Return what to try, one round after the other; each round builds on the steps kept before.

    The first round is all foreground. Targets that share no value cannot change each other, so that
    they are tried in one round; regions that overlap get one each. A single target is all
    foreground, and is tried once.
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
    """Return the Dice of each target; NaN where neither label map has it.

    Args:
        prediction: Label values.
        reference: Label values, same shape; voxels of the ignore value are left out.
        labels: Which values are which target.
    """
    known = None if labels.ignore is None else reference != labels.ignore
    return np.array([_dice(prediction, reference, target, known) for target in labels.targets])


def decided(trial: Trial, before: DiceTable, after: DiceTable) -> LargestComponent | None:
    """Return the step that a trial stands for if it helps, else None.

    Args:
        trial: What was tried.
        before: Dice without the step.
        after: Dice with it.
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
    """Return the mean of each column over its defined values; NaN without any."""
    defined = ~np.isnan(table)
    counts = defined.sum(axis=0)
    sums = np.where(defined, table, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _dice(
    prediction: LabelArray, reference: LabelArray, target: Region, known: MaskArray | None
) -> float:
    predicted, expected = np.isin(prediction, target.values), np.isin(reference, target.values)
    if known is not None:
        predicted, expected = predicted & known, expected & known
    total = np.count_nonzero(predicted) + np.count_nonzero(expected)
    return 2 * np.count_nonzero(predicted & expected) / total if total else float("nan")
