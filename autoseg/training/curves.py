"""Draw the learning curve of a training."""

from pathlib import Path

from matplotlib.figure import Figure

from autoseg.core.atomic import replacing
from autoseg.documents.run import EpochRecord


def draw_curves(history: tuple[EpochRecord, ...], class_names: tuple[str, ...], path: Path) -> None:
    """Write a PNG: losses and pseudo-Dice over the steps, the learning rate in grey.

    Args:
        history: At least one epoch.
        class_names: Of the foreground classes, or of the regions.
        path: The picture; an older one is replaced.
    """
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    for axes in (losses, scores):
        axes.xaxis.get_major_locator().set_params(integer=True)
    steps = [record.step for record in history]
    losses.plot(steps, [record.training_loss for record in history], label="training")
    validation = [
        float("nan") if record.validation_loss is None else record.validation_loss
        for record in history
    ]
    losses.plot(steps, validation, label="validation patches")
    losses.set(xlabel="step", ylabel="loss", title="Loss")
    losses.legend()
    for index, name in enumerate(class_names):
        values = [record.pseudo_dice[index] for record in history]
        scores.plot(steps, [float("nan") if v is None else v for v in values], label=name)
    scores.set(xlabel="step", ylabel="pseudo-Dice", ylim=(0, 1), title="Validation patches")
    if len(class_names) <= 12:
        for text in scores.legend().get_texts():
            text.set_parse_math(False)
    rate = scores.twinx()
    rate.plot(steps, [record.learning_rate for record in history], color="0.7", linewidth=1)
    rate.set(ylabel="learning rate (grey)", ylim=(0, None))
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=100)
