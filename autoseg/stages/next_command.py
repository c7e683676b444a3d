"""The command to type next, as messages show it: it can be copied as it is."""

import shlex
from pathlib import Path

from autoseg.core.work_root import WORK_ROOT
from autoseg.documents.splits import FoldName


def train_command(
    dataset: Path, work: Path, fold: FoldName, *, configuration: str | None = None
) -> str:
    """Return the command that trains a fold.

    Args:
        dataset: Folder of the dataset.
        work: Work folder; named only if it is not the one that commands take by themselves.
        fold: Which one.
        configuration: Which one; none for the plan's default.
    """
    parts = ["autoseg", "train", str(dataset)]
    if work.resolve() != (WORK_ROOT / dataset.resolve().name).resolve():
        parts += ["--work", str(work)]
    if configuration is not None:
        parts += ["--configuration", configuration]
    return shlex.join([*parts, "--fold", str(fold)])


def predict_command(model: Path) -> str:
    """Return the command that predicts with a model file or a work folder."""
    return f"autoseg predict IN OUT --model {shlex.quote(str(model))}"
