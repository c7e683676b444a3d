"""`autoseg plan`: measure a dataset and plan its training."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch

from autoseg.architectures import ARCHITECTURES, Architecture
from autoseg.core.device import choose_device
from autoseg.core.errors import PlanError
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.datasets.user_splits import find_splits_file
from autoseg.documents import store
from autoseg.documents.dataset import DatasetSpec
from autoseg.documents.fingerprint import Fingerprint
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES, Loss
from autoseg.planning.augmentation import AugmentationName
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import TrainingChoices, make_plan
from autoseg.planning.run_candidates import first_share
from autoseg.planning.weights import LossWeighting
from autoseg.stages.folds import load_splits
from autoseg.stages.plan.fingerprint import DEFAULT_CHOICES, DatasetChoices, fingerprint
from autoseg.stages.plan.machine_speed import cached_speed, machine_speed
from autoseg.stages.plan.step_times import measure_step_times

MEMORY_WITHOUT_ACCELERATOR_GIB = 8.0
"""GPU memory that the reference method plans for. Source: nnU-Net 2.8.1."""

BYTES_PER_GIB = 2**30


@dataclass(frozen=True)
class Timing:
    """Time budget of a plan, and how the speed of the machine is determined.

    Attributes:
        cache: Folder that stores measured machine speeds; None disables measuring.
        budget_seconds: Time budget that the plan is sized to; None for no limit.
        remeasure: Whether to measure the machine again even if its speed is known.
        device: Name of the device used for training.
    """

    cache: Path | None = None
    budget_seconds: float | None = None
    remeasure: bool = False
    device: str = "auto"


@dataclass(frozen=True)
class PlanRequest:
    """Options for planning.

    Attributes:
        network: Name of the architecture; by default the residual-encoder U-Net on a GPU with
            enough memory, else the plain U-Net.
        loss: Name of the loss; by default Dice plus cross-entropy.
        memory_gib: GPU memory to plan for; by default the memory of this machine's GPU.
        splits: File with the folds to use; by default the file in the dataset folder. Without
            either, cases are assigned to folds before the first training.
        timing: Time budget, and how the speed of the machine is determined.
        augmentation: Set of augmentations; by default chosen by the planner.
        loss_weighting: Class weights of the loss: chosen by the planner, equal, or by frequency.

    Raises:
        PlanError: If weights by frequency are requested for a loss that has no class weights.
        TrainingError: If the device does not exist.
        UnknownComponent: If the network or loss does not exist.
    """

    network: str | None = None
    loss: str | None = None
    memory_gib: float | None = None
    splits: Path | None = None
    timing: Timing = field(default_factory=Timing)
    augmentation: AugmentationName | None = None
    loss_weighting: LossWeighting = "planned"

    def __post_init__(self) -> None:
        """Check the names of the device, the network and the loss, and the class weights."""
        choose_device(self.timing.device)
        _ = self.architecture
        loss = self.loss_class
        if self.loss_weighting == "frequency" and loss and "class_weights" not in loss.model_fields:
            msg = (
                f"found --loss-weighting frequency, but the loss {self.loss} has no class weights. "
                "Leave --loss-weighting out, or choose another loss, such as dice_ce."
            )
            raise PlanError(msg)

    @property
    def architecture(self) -> type[Architecture] | None:
        """Class of the requested network."""
        return None if self.network is None else ARCHITECTURES[self.network]

    @property
    def loss_class(self) -> type[Loss] | None:
        """Class of the requested loss."""
        return None if self.loss is None else LOSSES[self.loss]


DEFAULT_REQUEST = PlanRequest()
"""Leaves every decision to the planning rules."""


def plan(
    dataset: Path,
    workspace: Workspace,
    request: PlanRequest = DEFAULT_REQUEST,
    *,
    workers: int,
    choices: DatasetChoices = DEFAULT_CHOICES,
    progress: Progress,
) -> Plan:
    """Measure a dataset and make its plan; both are saved in the work folder.

    Args:
        dataset: Dataset folder.
        workspace: Work folder for the results.
        request: Options for planning.
        workers: Number of processes that read cases.
        choices: Choices of the user for reading the dataset.
        progress: Receives progress and messages.

    Returns:
        The plan.

    Raises:
        DatasetError: If the dataset or the given folds have issues.
        PlanError: If no configuration fits the memory or the time budget.
    """
    spec, measured = fingerprint(dataset, workspace, choices, workers=workers, progress=progress)
    return plan_from_fingerprint(workspace, spec, measured, request, progress=progress)


def plan_from_fingerprint(
    workspace: Workspace,
    spec: DatasetSpec,
    measured: Fingerprint,
    request: PlanRequest,
    *,
    progress: Progress,
) -> Plan:
    """Save the given folds, if any, and make the plan, see `plan_configurations`.

    Args:
        workspace: Work folder for the results.
        spec: Description of the dataset, whose folder may contain a file with folds.
        measured: Fingerprint of the dataset, already saved in the work folder.
        request: Options for planning.
        progress: Receives messages.

    Returns:
        The plan.

    Raises:
        DatasetError: If the given folds have issues.
        PlanError: If no configuration fits the memory or the time budget.
    """
    if request.splits is not None or find_splits_file(spec.root) is not None:
        load_splits(workspace, spec, measured, progress, path=request.splits)
    return plan_configurations(workspace, measured, request, progress=progress)


def plan_configurations(
    workspace: Workspace,
    measured: Fingerprint,
    request: PlanRequest,
    *,
    num_folds: int | None = None,
    progress: Progress,
) -> Plan:
    """Make the plan of a measured dataset and save it as `plan.json`.

    An existing, different plan is renamed, see `save_plan`.

    Args:
        workspace: Work folder for the results.
        measured: Fingerprint of the dataset.
        request: Options for planning.
        num_folds: Number of folds that share the time budget; None if it is for one training.
        progress: Receives messages.

    Raises:
        PlanError: If no configuration fits the memory or the time budget.
    """
    machine = _with_speed(this_machine(request.timing.device), request.timing, progress)
    memory_gib = request.memory_gib or machine.accelerator_gib or MEMORY_WITHOUT_ACCELERATOR_GIB
    new_plan = make_plan(
        measured,
        network=request.architecture,
        memory_gib=memory_gib,
        machine=machine,
        choices=TrainingChoices(request.loss_class, request.augmentation, request.loss_weighting),
        training_seconds=_training_seconds(measured, request.timing, num_folds),
    )
    if request.memory_gib or machine.accelerator_gib:
        _note_on_memory(new_plan, memory_gib, progress)
    save_plan(new_plan, workspace, progress=progress)
    return new_plan


def _note_on_memory(new_plan: Plan, memory_gib: float, progress: Progress) -> None:
    """Print which configurations are predicted to need more memory than they were sized to."""
    larger = {
        entry.name: entry.predicted_memory_gib
        for entry in new_plan.configurations
        if entry.predicted_memory_gib > memory_gib
    }
    if larger:
        most = max(larger.values())
        progress.say(
            f"note: {' and '.join(larger)} may need up to {most:.1f} GiB, sized to {memory_gib:g}. "
            "nnU-Net's memory estimate, which patch and batch sizes follow, counts neither the "
            f"logits of many classes (here {new_plan.labels.num_outputs}) nor the weights. If "
            f"training runs out of memory, plan for less: --memory {memory_gib**2 / most:.1f}."
        )


def save_plan(new_plan: Plan, workspace: Workspace, *, progress: Progress) -> None:
    """Save a plan as `plan.json`; a different existing plan, which may be edited, is renamed.

    An existing plan that differs only in the reasons (for example in predicted times) is replaced.
    If the existing plan is equal, nothing is written.

    Args:
        new_plan: The plan to save.
        workspace: Work folder.
        progress: Receives a message if the existing plan is renamed.
    """
    path = workspace.plan
    existing = store.load_if_valid(Plan, path)
    if existing == new_plan:
        return
    is_same = existing is not None and _without_reasons(existing) == _without_reasons(new_plan)
    if path.exists() and not is_same:
        renamed = _free_name(path)
        path.rename(renamed)
        progress.say(
            f"{path.name} differed from the new plan and was renamed to {renamed.name}; to use it "
            "again, rename it back."
        )
    store.save(new_plan, path)


def this_machine(device_name: str = "auto", cache: Path | None = None) -> Machine:
    """Return the GPU memory, the CPU cores and the measured speed of this machine.

    Args:
        device_name: Device used for training; for the CPU, GPU memory is ignored.
        cache: Folder that stores measured machine speeds; None leaves the speed unknown.

    Raises:
        TrainingError: If the device does not exist.
    """
    device = choose_device(device_name)
    gpu_gib = None
    if device.type == "cuda":
        gpu_gib = torch.cuda.get_device_properties(device).total_memory / BYTES_PER_GIB
    elif device.type == "mps":
        gpu_gib = torch.mps.recommended_max_memory() / BYTES_PER_GIB
    measured = None if cache is None else cached_speed(cache, device_name)
    return Machine(accelerator_gib=gpu_gib, cores=default_workers(), measured=measured)


def _with_speed(machine: Machine, timing: Timing, progress: Progress) -> Machine:
    """Add the speed of the machine, which is measured now if the plan depends on it.

    In that case the machine can also time training steps.
    """
    if timing.cache is None:
        return machine
    if timing.budget_seconds is None and not timing.remeasure:
        return replace(machine, measured=cached_speed(timing.cache, timing.device))
    speed = machine_speed(
        timing.cache, timing.device, remeasure=timing.remeasure, progress=progress
    )
    time_steps = partial(
        measure_step_times,
        timing.cache,
        timing.device,
        remeasure=timing.remeasure,
        progress=progress,
    )
    return replace(machine, measured=speed, time_steps=time_steps)


def _training_seconds(measured: Fingerprint, timing: Timing, num_folds: int | None) -> float | None:
    """Return the time budget of one training: its share if the budget is that of a run."""
    if timing.budget_seconds is None or num_folds is None:
        return timing.budget_seconds
    num_candidates = 2 if measured.num_axes == 3 else 1  # 3-D and 2-D networks
    return first_share(timing.budget_seconds, num_folds, num_candidates)


def _without_reasons(document: Plan) -> Plan:
    return document.model_copy(update={"decisions": ()})


def _free_name(path: Path) -> Path:
    """Return the first unused path: `plan.previous-1.json`, `plan.previous-2.json` and so on."""
    number = 1
    while (free := path.with_name(f"{path.stem}.previous-{number}{path.suffix}")).exists():
        number += 1
    return free
