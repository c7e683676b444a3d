"""TensorBoard: event files in the folder of the run."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from PIL import Image
from typing_extensions import override

from autoseg.tracking.base import TRACKERS, Metrics, RunDescription, RunWriter, Status, Tracker

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER_NAME = "tensorboard"
"""Folder of the event files, in the folder of the run."""


class TensorBoardRun(RunWriter):
    """Event files of a run. Pictures are logged; other files already are in the run's folder."""

    id = FOLDER_NAME

    def __init__(self, writer: "SummaryWriter") -> None:
        self._writer = writer

    @override
    def log(self, metrics: Metrics) -> None:
        for name, value in metrics.values.items():
            self._writer.add_scalar(name, value, metrics.step)
        self._writer.flush()

    @override
    def log_file(self, path: Path) -> None:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            self._writer.add_image(path.stem, pixels, dataformats="HWC")

    @override
    def end(self, status: Status) -> None:
        self._writer.close()


@TRACKERS.register
class TensorBoard(Tracker):
    """Event files below the folder of each run, for `tensorboard --logdir`."""

    module: ClassVar[str] = "torch.utils.tensorboard"
    kind: Literal["tensorboard"] = "tensorboard"

    @override
    def start(self, run: RunDescription, known: str | None, last_step: int) -> RunWriter:
        from torch.utils.tensorboard import SummaryWriter

        # readers drop later values, which a killed process may have written
        purge_step = None if known is None else last_step + 1
        writer = SummaryWriter(run.folder / FOLDER_NAME, purge_step=purge_step)
        if known is None:
            for title, values in (("parameters", run.parameters), ("tags", run.tags)):
                rows = "".join(f"|{name}|{value}|\n" for name, value in values.items())
                writer.add_text(title, f"|name|value|\n|---|---|\n{rows}")
        writer.flush()
        return TensorBoardRun(writer)
