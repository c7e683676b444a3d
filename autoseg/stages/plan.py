"""`autoseg plan`: measure a dataset and decide how to segment it."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.core.device import choose_device
from autoseg.core.errors import DocumentError
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.datasets.user_splits import file_with_splits
from autoseg.documents import store
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES, Loss
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.planning.run_candidates import first_share
from autoseg.stages.fingerprint import fingerprint
from autoseg.stages.folds import load_splits, use_splits
from autoseg.stages.machine_speed import known_speed, machine_speed
from autoseg.stages.step_times import timed_steps

MADE_BY = "autoseg plan DATASET"
"""The command that makes a plan, for error messages."""

MEMORY_WITHOUT_ACCELERATOR_GIB = 8.0
"""What the reference method plans for. Source: nnU-Net 2.8.1."""

BYTES_PER_GIB = 2**30


@dataclass(frozen=True)
class Timing:
    """What is asked of a plan in matters of time.

    Attributes:
        cache: Folder that the measured speed of machines is kept in; None measures nothing.
        budget_seconds: Time that the plan is sized to; None for as long as it takes.
        is_shared: Whether the budget is for all folds together and not for one training.
        remeasure: Whether to measure the machine again, even if its speed is known.
        device: Name of the device that will train.
    """

    cache: Path | None = None
    budget_seconds: float | None = None
    is_shared: bool = False
    remeasure: bool = False
    device: str = "auto"


NO_TIMING = Timing()
"""Plans for as long as it takes, on a machine whose speed is not measured."""


@dataclass(frozen=True)
class PlanRequest:
    """What the user asked for.

    Attributes:
        network: Name of the architecture; by default the residual-encoder U-Net on a large
            accelerator, else the plain U-Net.
        loss: Name of the loss; by default Dice plus cross-entropy.
        memory_gib: Accelerator memory to plan for; by default the machine's own.
        splits: File with folds to use; by default that in the dataset's folder, if it has one, or
            else cases are dealt out before the first training.
        timing: The time to size it to, and whether the machine's speed is measured.

    Raises:
        TrainingError: If there is no such device.
        UnknownComponent: If there is no such network or loss.
    """

    network: str | None = None
    loss: str | None = None
    memory_gib: float | None = None
    splits: Path | None = None
    timing: Timing = NO_TIMING

    def __post_init__(self) -> None:
        """Check the names."""
        choose_device(self.timing.device)
        _ = self.architecture, self.loss_class

    @property
    def architecture(self) -> type[Architecture] | None:
        """The network's class."""
        return None if self.network is None else ARCHITECTURES[self.network]

    @property
    def loss_class(self) -> type[Loss] | None:
        """The loss's class."""
        return None if self.loss is None else LOSSES[self.loss]


NO_WISHES = PlanRequest()
"""Everything as the rules have it."""


def plan(
    dataset: Path,
    workspace: Workspace,
    request: PlanRequest = NO_WISHES,
    *,
    workers: int,
    skip_bad_cases: bool = False,
    progress: Progress,
) -> Plan:
    """Measure a dataset and return its plan; both are saved in the work folder.

    Args:
        dataset: The user's folder.
        workspace: Where the results go.
        request: What the user asked for.
        workers: Processes that read cases.
        skip_bad_cases: Whether to go on without the cases that have issues.
        progress: Where to report to.

    Raises:
        DatasetError: If the dataset has issues, or the given folds have.
        PlanError: If no configuration fits into the memory, or into the time.
    """
    _, measured = fingerprint(
        dataset, workspace, workers=workers, skip_bad_cases=skip_bad_cases, progress=progress
    )
    return decide(dataset, workspace, measured, request, progress=progress)


def decide(
    dataset: Path,
    workspace: Workspace,
    measured: Fingerprint,
    request: PlanRequest,
    *,
    progress: Progress,
) -> Plan:
    """Return the plan of a dataset, saved as `plan.json`; another plan there is kept beside it.

    Args:
        dataset: The user's folder, which may have folds.
        workspace: Where the results go.
        measured: The dataset's fingerprint, saved there already.
        request: What the user asked for.
        progress: Where to report to.

    Raises:
        DatasetError: If the given folds have issues.
        PlanError: If no configuration fits into the memory, or into the time.
    """
    if request.splits is not None:
        use_splits(workspace, request.splits, progress)
    elif file_with_splits(dataset) is not None:
        load_splits(workspace, progress)
    machine = _with_speed(this_machine(request.timing.device), request.timing, progress)
    memory_gib = request.memory_gib or machine.accelerator_gib or MEMORY_WITHOUT_ACCELERATOR_GIB
    made = make_plan(
        measured,
        network=request.architecture,
        memory_gib=memory_gib,
        machine=machine,
        loss=request.loss_class,
        training_seconds=_training_seconds(workspace, measured, request.timing, progress),
    )
    if request.memory_gib or machine.accelerator_gib:
        _say_what_may_not_fit(made, memory_gib, progress)
    save_plan(made, workspace, progress=progress)
    return made


def _say_what_may_not_fit(made: Plan, memory_gib: float, progress: Progress) -> None:
    """Say which configurations are predicted to need more memory than they were sized to."""
    larger = {
        entry.name: entry.predicted_memory_gib
        for entry in made.configurations
        if entry.predicted_memory_gib > memory_gib
    }
    if larger:
        most = max(larger.values())
        progress.say(
            f"note: {' and '.join(larger)} may need up to {most:.1f} GiB, sized to {memory_gib:g}. "
            "nnU-Net's reckoning, which patches and batches follow, counts neither scores of many "
            f"classes (here {made.labels.num_outputs}) nor weights. Should memory run out, plan "
            f"for less: --memory {memory_gib**2 / most:.1f}."
        )


def load_plan(workspace: Workspace) -> Plan:
    """Return the plan of a work folder, checked.

    Raises:
        DocumentError: If there is none, or an edited value cannot work.
    """
    return store.load(Plan, workspace.plan, made_by=MADE_BY)


def save_plan(made: Plan, workspace: Workspace, *, progress: Progress) -> None:
    """Write `plan.json`; a different plan that is there may hold edits and is kept under a number.

    One that differs in reasons alone, predicted times for instance, is replaced by the new one.
    Nothing is written if the plan there is the same.
    """
    path = workspace.plan
    known = _known_plan(workspace)
    if known == made:
        return
    has_other_reasons = known is not None and _without_reasons(known) == _without_reasons(made)
    if path.exists() and not has_other_reasons:
        kept = _free_name(path)
        path.rename(kept)
        progress.say(
            f"{path.name} differed from the new plan and was kept as {kept.name}; to go on with "
            f"it, rename it back."
        )
    store.save(made, path)


def this_machine(device_name: str = "auto", cache: Path | None = None) -> Machine:
    """Return the graphics memory and the CPU cores that this process may use.

    Args:
        device_name: What will train; on the CPU, a GPU does not count.
        cache: Folder of measured speeds; None goes without, and so does what is not measured yet.

    Raises:
        TrainingError: If the device is none.
    """
    device = choose_device(device_name)
    accelerator = None
    if device.type == "cuda":
        accelerator = torch.cuda.get_device_properties(device).total_memory / BYTES_PER_GIB
    elif device.type == "mps":
        accelerator = torch.mps.recommended_max_memory() / BYTES_PER_GIB
    measured = None if cache is None else known_speed(cache, device_name)
    return Machine(accelerator_gib=accelerator, cores=default_workers(), measured=measured)


def _with_speed(machine: Machine, timing: Timing, progress: Progress) -> Machine:
    """Return the machine with its speed, measured now where the plan depends on it.

    There, it can time training steps too.
    """
    if timing.cache is None:
        return machine
    if timing.budget_seconds is None and not timing.remeasure:
        return replace(machine, measured=known_speed(timing.cache, timing.device))
    speed = machine_speed(
        timing.cache, timing.device, remeasure=timing.remeasure, progress=progress
    )
    time_steps = partial(
        timed_steps, timing.cache, timing.device, remeasure=timing.remeasure, progress=progress
    )
    return replace(machine, measured=speed, time_steps=time_steps)


def _training_seconds(
    workspace: Workspace, measured: Fingerprint, timing: Timing, progress: Progress
) -> float | None:
    """Return the time of one training; of a run's budget, its share."""
    if timing.budget_seconds is None or not timing.is_shared:
        return timing.budget_seconds
    num_folds = len(load_splits(workspace, progress).folds)
    num_entrants = 2 if measured.num_axes == 3 else 1  # volumes, and their planes
    return first_share(timing.budget_seconds, num_folds, num_entrants)


def _known_plan(workspace: Workspace) -> Plan | None:
    """Return the plan that is there; None if there is none that can be read."""
    try:
        return load_plan(workspace)
    except DocumentError:
        return None


def _without_reasons(made: Plan) -> Plan:
    return made.model_copy(update={"decisions": ()})


def _free_name(path: Path) -> Path:
    """Return the first of `plan.previous-1.json`, `plan.previous-2.json` … that is free."""
    number = 1
    while (kept := path.with_name(f"{path.stem}.previous-{number}{path.suffix}")).exists():
        number += 1
    return kept
