"""Shell commands that messages suggest, quoted so that they can be copied."""

import shlex
from pathlib import Path

from autoseg.core.work_root import WORK_ROOT
from autoseg.documents.splits import FoldName


def train_command(
    dataset: Path, work: Path, fold: FoldName, *, configuration: str | None = None
) -> str:
    """Build the command that trains a fold.

    Args:
        dataset: Dataset folder.
        work: Work folder; `--work` is added only if it is not the default one of the dataset.
        fold: Fold to hold out.
        configuration: Name of the configuration; None for the plan's default.
    """
    parts = ["autoseg", "train", str(dataset)]
    if work.resolve() != (WORK_ROOT / dataset.resolve().name).resolve():
        parts += ["--work", str(work)]
    if configuration is not None:
        parts += ["--configuration", configuration]
    return shlex.join([*parts, "--fold", str(fold)])


def view_command(work: Path, case: str) -> str:
    """Build the command that shows a case of a work folder."""
    return shlex.join(["autoseg", "view", "--work", str(work), "--case", case])


def predict_command(model: Path) -> str:
    """Build the command that predicts with a model file or a work folder."""
    return f"autoseg predict IN OUT --model {shlex.quote(str(model))}"
