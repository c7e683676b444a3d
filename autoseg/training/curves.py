"""Plot the learning curves of a training."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from autoseg.core.atomic_write import atomic_write
from autoseg.core.colours import class_colour
from autoseg.core.formatting import printable
from autoseg.documents.run import EpochRecord

CURVES_NAME = "curves.png"
"""Name of the picture in the fold folder."""


def draw_curves(history: tuple[EpochRecord, ...], class_names: tuple[str, ...], path: Path) -> None:
    """Save a PNG of losses, pseudo-Dice and learning rate over the steps.

    Args:
        history: Records of at least one epoch.
        class_names: Names of the foreground classes or regions.
        path: The PNG file; an existing file is replaced.
    """
    figure = Figure(figsize=(11, 5.0), layout="constrained")
    shapes = [["losses", "scores"], ["rate", "rate"]]
    parts: dict[str, Axes] = figure.subplot_mosaic(shapes, height_ratios=(4, 1))
    losses, scores, rate = parts["losses"], parts["scores"], parts["rate"]
    for axes in (losses, scores, rate):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    steps = [record.step for record in history]
    trained = [record.training_loss for record in history]
    losses.plot(steps, trained, label="training", color="0.1")
    validation = np.array([record.validation_loss for record in history], float)  # NaN for None
    losses.plot(steps, validation, label="validation patches", color="0.6")
    losses.set(ylabel="loss", title="Loss")
    losses.legend()
    for index, name in enumerate(class_names):
        values = np.array([record.pseudo_dice[index] for record in history], float)
        scores.plot(steps, values, label=printable(name), color=class_colour(index))
    scores.set(ylabel="pseudo-Dice", ylim=(0, 1), title="Validation patches")
    if len(class_names) <= 12:
        for text in scores.legend(loc="lower right").get_texts():
            text.set_parse_math(False)
    rate.plot(steps, [record.learning_rate for record in history], color="0.4")
    rate.set(xlabel="step", ylabel="learning rate", ylim=(0, None))
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=100)
