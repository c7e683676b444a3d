"""Weights & Biases: a server, or the work folder with `WANDB_MODE=offline`."""

import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from typing_extensions import override

from autoseg.core.errors import TrainingError
from autoseg.tracking.base import TRACKERS, Metrics, RunDescription, RunWriter, Status, Tracker

WandbApiRun: TypeAlias = Any
"""A `wandb.Run`; wandb is imported only where it is used."""

SETTINGS = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "finish_timeout_raises": True,
    "save_code": False,
    "silent": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""Settings that keep wandb from printing, and from sending what is printed (which has case names),
the command with its paths, the code, the packages, and the state of the machine."""

FINISH_SECONDS = 120.0
"""Time after which wandb stops sending at the end of a run; the rest remains on disk."""


class WandbRun(RunWriter):
    """A run of Weights & Biases."""

    def __init__(self, run: WandbApiRun) -> None:
        self._run = run
        self.id = str(run.id)

    @override
    def log(self, metrics: Metrics) -> None:
        if metrics.step >= self._run.step:
            self._run.log(dict(metrics.values), step=metrics.step, commit=True)
        else:  # wandb drops values of earlier steps, and of a step that it has sent
            self._run.summary.update(dict(metrics.values))

    @override
    def log_file(self, path: Path) -> None:
        if path.suffix == ".png":
            import wandb

            self._run.log({path.stem: wandb.Image(str(path))})
            return
        copy = Path(shutil.copy(path, self._run.dir))  # sent from there, also later
        self._run.save(copy, base_path=copy.parent, policy="now")

    @override
    def end(self, status: Status) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)


@TRACKERS.register
class Wandb(Tracker):
    """The server of Weights & Biases; wandb itself reads variables such as `WANDB_MODE`."""

    module: ClassVar[str] = "wandb"
    kind: Literal["wandb"] = "wandb"

    @override
    def start(self, run: RunDescription, known: str | None, last_step: int) -> RunWriter:
        import wandb

        is_online = wandb.setup().settings.mode in {"online", "run", "shared"}
        if is_online and not wandb.login(prompt=False, verify=False):
            raise TrainingError("no API key is known; run `wandb login`, or set WANDB_MODE=offline")
        parent = run.parents.get(self.kind)
        created = wandb.init(
            project=run.experiment,
            name=run.name,
            id=known,
            resume="allow",
            group=parent,
            job_type="training" if parent else None,
            config={**run.parameters, **run.tags},
            dir=run.work,
            reinit="create_new",
            settings=wandb.Settings(**SETTINGS, finish_timeout=FINISH_SECONDS),
        )
        return WandbRun(created)
