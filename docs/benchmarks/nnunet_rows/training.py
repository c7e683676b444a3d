"""Training steps of the same plan, by nnU-Net's own trainer and by autoseg's own loop."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from costs import Stopwatch, stopwatch

from nnunet_rows.reported import report

CONFIGURATION = "3d_fullres"
BATCH = 2
"""Of either tool. The planned ones would take a CPU ten seconds a step, and differ."""

WARM_UP = 3

STEPS = {"cpu": 8}
OTHER_STEPS = 100
"""Timed steps on a device that is not listed: more than the loaders keep ready."""


def nnunet(preprocessed: str, device: str) -> None:
    """Let nnU-Net's trainer do steps with its loader, and on one batch that stays.

    On a CPU it computes in float32 whatever the hardware has: autocast is switched off there.
    """
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    plans, dataset = (
        json.loads((Path(preprocessed) / name).read_text())
        for name in ("nnUNetPlans.json", "dataset.json")
    )
    plans["configurations"][CONFIGURATION]["batch_size"] = BATCH
    plans["continue_training"] = False
    trainer = nnUNetTrainer(plans, CONFIGURATION, 0, dataset, torch.device(device))
    trainer.on_train_start()
    trainer.on_train_epoch_start()

    def steps(count: int, batch: dict | None = None) -> Stopwatch:
        with stopwatch() as watch:
            for _ in range(count):
                trainer.train_step(batch or next(trainer.dataloader_train))
        return Stopwatch(watch.seconds / count, watch.cpu_seconds / count)

    batch = next(trainer.dataloader_train)
    count = STEPS.get(device, OTHER_STEPS)
    steps(WARM_UP)
    before = steps(count // 2, batch)
    real = steps(count)
    after = steps(count // 2, batch)
    for loader in (trainer.dataloader_train, trainer.dataloader_val):
        loader._finish()  # noqa: SLF001  (as the trainer itself ends them)
    dummy = (before.seconds + after.seconds) / 2
    _report(real, dummy, "float32" if device == "cpu" else "float16")


def autoseg(work: str, device: str) -> None:
    """Let autoseg train with its loader, and time steps on batches that are there already."""
    from trainings import fit_logged, prepared_task

    from autoseg.core.compute import Compute
    from autoseg.core.progress import Silent
    from autoseg.documents.workspace import Workspace
    from autoseg.stages.project import load_project
    from autoseg.stages.train.duration import TrainingDuration
    from autoseg.stages.train.task import TrainRequest
    from autoseg.training.loop import measure_step

    project = load_project(Workspace(Path(work)), Silent())
    chosen = project.plan.configuration(CONFIGURATION).model_copy(update={"batch_size": BATCH})
    plan = project.plan.model_copy(
        update={"configurations": (chosen,), "default_configuration": CONFIGURATION}
    )
    project = replace(project, plan=plan)
    count = STEPS.get(device, OTHER_STEPS)
    length = TrainingDuration(iterations=WARM_UP + count)
    request = TrainRequest(
        fold=0, length=length, checkpoint_seconds=1e6, compute=Compute(device=device)
    )
    task = prepared_task(project, request)
    before = measure_step(task)
    timed = fit_logged(task)[1][WARM_UP:]
    real = Stopwatch(
        fmean(step.seconds for step in timed), fmean(step.cpu_seconds for step in timed)
    )
    _report(real, (before + measure_step(task)) / 2, str(task.dtype).removeprefix("torch."))


def _report(real: Stopwatch, dummy: float, precision: str) -> None:
    ratio = real.seconds / dummy
    report(real, f"{precision}, dummy step {dummy:.3f} s, real / dummy {ratio:.2f}")
