"""Plan datasets, train candidates of a plan for some steps, and score them."""

import statistics
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from time import perf_counter, process_time

from costs import Stopwatch

from autoseg.core.compute import Compute
from autoseg.core.device import Precision
from autoseg.core.interrupt import StopRequest
from autoseg.core.progress import Silent
from autoseg.documents import store
from autoseg.documents.plan import Configuration, Plan
from autoseg.documents.report import Report
from autoseg.documents.splits import FoldName
from autoseg.documents.workspace import Workspace
from autoseg.stages.plan.plan import PlanRequest, plan
from autoseg.stages.preprocess import prepare_cases
from autoseg.stages.project import Project, fold_cases
from autoseg.stages.train.duration import TrainingDuration
from autoseg.stages.train.task import TrainRequest, training_task
from autoseg.stages.train.train import TrainedFold, train
from autoseg.terminal import TerminalProgress
from autoseg.training.fit import fit
from autoseg.training.loop import new_state
from autoseg.training.state import TrainingState
from autoseg.training.task import Callbacks, TrainingTask

MEMORY_GIB = 8.0

ENDLESS = 10**9
"""Steps of an epoch that never ends."""


def planned(
    dataset: Path,
    workspace: Workspace,
    request: PlanRequest | None = None,
    *,
    variants: Callable[[Plan], Iterable[Configuration]] | None = None,
) -> Plan:
    """Plan a dataset, for `MEMORY_GIB` without a request, unless it is planned already.

    `variants` returns configurations that replace those of the plan; the first is the default.
    """
    if workspace.plan.is_file():
        return store.load(Plan, workspace.plan)
    request = request or PlanRequest(memory_gib=MEMORY_GIB)
    with closing(TerminalProgress()) as progress:
        made = plan(dataset, workspace, request, workers=2, progress=progress)
    if variants is not None:
        chosen = tuple(variants(made))
        changed = {"configurations": chosen, "default_configuration": chosen[0].name}
        made = made.model_copy(update=changed)
        store.save(made, workspace.plan)
    return made


def add_configurations(workspace: Workspace, *added: Configuration) -> None:
    """Add configurations to a plan; they replace those with the same names."""
    made = store.load(Plan, workspace.plan)
    known = {entry.name: entry for entry in made.configurations}
    changed = known | {entry.name: entry for entry in added}
    if changed != known:
        entries = tuple(changed.values())
        store.save(made.model_copy(update={"configurations": entries}), workspace.plan)


def train_steps(
    workspace: Workspace,
    name: str,
    steps: int,
    *,
    seed: int = 0,
    fold: FoldName = 0,
    compute: Compute | None = None,
) -> TrainedFold:
    """Train a configuration for some steps, or continue, and score the held-out cases."""
    request = TrainRequest(
        fold=fold,
        configuration=name,
        length=TrainingDuration(iterations=steps),
        seed=seed,
        compute=compute or Compute(),
    )
    with closing(TerminalProgress()) as progress:
        return train(workspace, request, progress=progress)


def prepared_task(
    project: Project, request: TrainRequest, precision: Precision | None = None
) -> TrainingTask:
    """Prepare the cases of a training, and build its task; see `training_task`."""
    cases = prepare_cases(project, request.configuration, workers=2, progress=Silent()).cases
    fold = fold_cases(project, request.fold, Silent())
    return training_task(project, fold, cases, request, precision=precision)


def fit_logged(task: TrainingTask) -> tuple[list[float], list[Stopwatch]]:
    """Train to the end of a task, without validation; return loss and time of each step."""
    task.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    losses, clocks = [], [(perf_counter(), process_time())]

    def on_step(state: TrainingState) -> None:
        losses.append(state.epoch_losses[-1])
        clocks.append((perf_counter(), process_time()))

    state = new_state(task, epoch_steps=ENDLESS)
    fit(task, state, Callbacks(on_step, lambda _: None, StopRequest()))
    return losses, [
        Stopwatch(end - start, cpu_end - cpu_start)
        for (start, cpu_start), (end, cpu_end) in pairwise(clocks)
    ]


def class_dice(report: Report | None) -> dict[str, float]:
    """Return the Dice of each class."""
    classes = report.classes if report else ()
    return {entry.name: entry.means.dice.value or 0.0 for entry in classes}


def mean_hd95(report: Report) -> float | None:
    """Return the mean HD95 of the classes that have one, mm; None if none has."""
    values = [entry.means.metric("hd95_mm").value for entry in report.classes]
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
