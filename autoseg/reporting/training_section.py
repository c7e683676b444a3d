"""The section of a report on the learning curves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from autoseg.documents.run import EpochRecord
from autoseg.reporting.blocks import Block, Chart, Section, Text
from autoseg.reporting.charts import Axis, Point, line_chart

MOST_POINTS = 400
"""Points of a line; of longer curves, evenly spaced epochs are drawn."""


@dataclass(frozen=True)
class LearningCurve:
    """The learning curve of one training.

    Attributes:
        name: Name of the training.
        records: Its epochs.
        is_finished: Whether the training is finished.
    """

    name: str
    records: tuple[EpochRecord, ...]
    is_finished: bool


def training_section(curves: Sequence[LearningCurve]) -> Section:
    """Build the section on the learning curves of all trainings together."""
    unfinished = [curve.name for curve in curves if not curve.is_finished]
    blocks: list[Block] = []
    if unfinished:
        blocks.append(Text((f"Not finished: {', '.join(unfinished)}.",)))

    def lines(
        value: Callable[[EpochRecord], float | None],
    ) -> dict[str, list[Point]]:
        return {
            curve.name: [(record.step, value(record)) for record in _thinned(curve.records)]
            for curve in curves
        }

    step = Axis("step")
    validation = {f"{name}, validation": each for name, each in lines(_validation_loss).items()}
    losses = lines(lambda record: record.training_loss)
    blocks.append(
        line_chart(
            "Loss",
            {
                name: line
                for pair in zip(losses.items(), validation.items(), strict=True)
                for name, line in pair
            },
            (step, Axis("loss")),
            note="Solid: training; dashed: validation patches.",
            dashed=frozenset(validation),
        )
    )
    blocks.append(
        line_chart(
            "Pseudo-Dice",
            lines(lambda record: record.mean_pseudo_dice),
            (step, Axis("pseudo-Dice", least=0, most=1)),
            note="Mean over classes of the Dice pooled over validation patches during training; "
            "the scores of whole held-out cases are below.",
        )
    )
    rates = lines(lambda record: record.learning_rate)
    blocks.append(line_chart("Learning rate", rates, (step, Axis("learning rate"))))
    seconds = {curve.name: _seconds_per_step(curve.records) for curve in curves}
    blocks.append(line_chart("Time per step", seconds, (step, Axis("s", least=0))))
    halves = (
        replace(block, is_half=True) if isinstance(block, Chart) else block for block in blocks
    )
    return Section("training", "Training", tuple(halves))


def _validation_loss(record: EpochRecord) -> float | None:
    return record.validation_loss


def _thinned(records: Sequence[EpochRecord]) -> Sequence[EpochRecord]:
    step = -(-len(records) // MOST_POINTS)
    return records[:: max(1, step)]


def _seconds_per_step(
    records: Sequence[EpochRecord],
) -> list[Point]:
    points: list[Point] = []
    for before, after in pairwise(_thinned(records)):
        steps = after.step - before.step
        if steps > 0:
            points.append((after.step, (after.seconds - before.seconds) / steps))
    return points
