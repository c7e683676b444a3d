"""Select post-processing steps by cross-validation, and apply them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from autoseg.core.errors import CaseError
from autoseg.core.labels import LabelScheme
from autoseg.core.parallel import Failure, Success, run_each
from autoseg.core.progress import Progress
from autoseg.documents.selection import LargestComponent
from autoseg.evaluation.postprocessing import Trial, decide_step, target_dice, trial_rounds
from autoseg.inference.postprocessing import keep_largest, postprocess
from autoseg.readers import read_image, write_labels
from autoseg.stages.evaluate.evaluate import LabelMapPair, read_label_map

Steps = tuple[LargestComponent, ...]

T = TypeVar("T")


def find_steps(
    pairs: Sequence[LabelMapPair], labels: LabelScheme, *, workers: int, progress: Progress
) -> Steps:
    """Find the post-processing steps that raise the Dice of held-out cases.

    Args:
        pairs: Predictions without post-processing, and their references.
        labels: The classes.
        workers: Number of processes.
        progress: Receives the progress.

    Returns:
        The steps in the order in which they are applied.

    Raises:
        CaseError: If a label map cannot be read.
    """
    steps: Steps = ()
    for number, trials in enumerate(trial_rounds(labels)):
        work = partial(_trial_dice, labels=labels, steps=steps, trials=trials)
        title = "Keeping largest components" + (", one at a time" if number else "")
        outcomes = run_each(work, pairs, workers=workers)
        finished = list(progress.track(outcomes, description=title, total=len(pairs)))
        finished.sort(key=lambda outcome: outcome.index)
        tables = np.stack([_value(outcome, pairs) for outcome in finished], axis=1)
        decisions = [
            decide_step(trial, tables[0], after)
            for trial, after in zip(trials, tables[1:], strict=True)
        ]
        steps = (*steps, *(step for step in decisions if step is not None))
    return steps


def apply_steps(
    pairs: Sequence[LabelMapPair],
    steps: Steps,
    folder: Path,
    background: int,
    *,
    workers: int,
    progress: Progress,
) -> tuple[LabelMapPair, ...]:
    """Apply the steps to all predictions, and write the label maps that change.

    Args:
        pairs: Predictions without post-processing, and their references.
        steps: Post-processing steps to apply.
        folder: Output folder of the changed label maps.
        background: Label value that replaces removed voxels.
        workers: Number of processes.
        progress: Receives the progress.

    Returns:
        The changed pairs, sorted by name.

    Raises:
        CaseError: If a label map cannot be read or written.
    """
    work = partial(_apply, steps=steps, folder=folder, background=background)
    outcomes = run_each(work, pairs, workers=workers)
    tracked = progress.track(outcomes, description="Post-processing", total=len(pairs))
    changed = [_value(outcome, pairs) for outcome in tracked]
    return tuple(sorted((pair for pair in changed if pair), key=lambda pair: pair.name))


def _trial_dice(
    pair: LabelMapPair, *, labels: LabelScheme, steps: Steps, trials: Sequence[Trial]
) -> Float[np.ndarray, "tables targets"]:
    """Compute the Dice of each target: first row without a further step, then one per trial."""
    reference = read_label_map(pair.reference, pair.prediction).values
    raw = read_label_map(pair.prediction, pair.reference).values
    background = labels.values[0]
    start = postprocess(raw, steps, background)
    before = target_dice(start, reference, labels)
    rows = [before]
    for trial in trials:
        step = LargestComponent(values=trial.values, dice_before=0.0, dice_after=0.0)
        changed = keep_largest(start, step, background)
        rows.append(before if changed is start else target_dice(changed, reference, labels))
    return np.stack(rows)


def _apply(
    pair: LabelMapPair, *, steps: Steps, folder: Path, background: int
) -> LabelMapPair | None:
    """Write a post-processed label map and return its pair; None if nothing changes."""
    raw = read_label_map(pair.prediction, pair.reference).values
    values = postprocess(raw, steps, background)
    if np.array_equal(values, raw):
        return None
    output = folder / pair.prediction.name
    write_labels(values, read_image((pair.prediction,)), output)
    return replace(pair, prediction=output)


def _value(outcome: Success[T] | Failure, pairs: Sequence[LabelMapPair]) -> T:
    """Return the result of a case; raise a CaseError if it failed."""
    if isinstance(outcome, Failure):
        raise CaseError(f"{pairs[outcome.index].name}: {outcome.message}")
    return outcome.value
