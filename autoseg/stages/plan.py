"""`autoseg plan`: measure a dataset and decide how to segment it."""

from pathlib import Path

import torch

from autoseg.architectures import ARCHITECTURES
from autoseg.core.errors import DocumentError
from autoseg.core.parallel import default_workers
from autoseg.core.progress import Progress
from autoseg.datasets.given_splits import file_with_splits
from autoseg.documents import store
from autoseg.documents.plan import Plan
from autoseg.documents.workspace import Workspace
from autoseg.losses import LOSSES
from autoseg.planning.forecast import Machine
from autoseg.planning.planner import make_plan
from autoseg.stages.fingerprint import fingerprint
from autoseg.stages.folds import load_splits, use_splits

MADE_BY = "autoseg plan DATASET"
"""The command that makes a plan, for error messages."""

MEMORY_WITHOUT_ACCELERATOR_GIB = 8.0
"""What the reference method plans for. Source: nnU-Net 2.8.1."""

BYTES_PER_GIB = 2**30


def plan(  # noqa: PLR0913  (one argument per option of the command)
    dataset: Path,
    workspace: Workspace,
    *,
    network: str | None = None,
    loss: str | None = None,
    memory_gib: float | None = None,
    workers: int,
    skip_bad_cases: bool = False,
    splits: Path | None = None,
    progress: Progress,
) -> Plan:
    """Return the plan of a dataset, saved as `plan.json`; another plan there is kept beside it.

    Args:
        dataset: The user's folder.
        workspace: Where the results go.
        network: Name of the architecture; by default the residual-encoder U-Net on a large
            accelerator, else the plain U-Net.
        loss: Name of the loss; by default Dice plus cross-entropy.
        memory_gib: Accelerator memory to plan for; by default the machine's own.
        workers: Processes that read cases.
        skip_bad_cases: Whether to go on without the cases that have faults.
        splits: File with folds to use; by default that in the dataset's folder, if it has one, or
            else cases are dealt out before the first training.
        progress: Where to report to.

    Raises:
        DatasetError: If the dataset has faults, or the given folds have.
        PlanError: If no configuration fits into the memory.
        UnknownComponent: If there is no such network or loss.
    """
    architecture = None if network is None else ARCHITECTURES[network]
    loss_class = None if loss is None else LOSSES[loss]
    machine = this_machine()
    _, measured = fingerprint(
        dataset, workspace, workers=workers, skip_bad_cases=skip_bad_cases, progress=progress
    )
    if splits is not None:
        use_splits(workspace, splits, progress)
    elif file_with_splits(dataset) is not None:
        load_splits(workspace, progress)
    made = make_plan(
        measured,
        network=architecture,
        memory_gib=memory_gib or machine.accelerator_gib or MEMORY_WITHOUT_ACCELERATOR_GIB,
        machine=machine,
        loss=loss_class,
    )
    save_plan(made, workspace, progress=progress)
    return made


def load_plan(workspace: Workspace) -> Plan:
    """Return the plan of a work folder, checked.

    Raises:
        DocumentError: If there is none, or an edited value cannot work.
    """
    return store.load(Plan, workspace.plan, made_by=MADE_BY)


def save_plan(made: Plan, workspace: Workspace, *, progress: Progress) -> None:
    """Write `plan.json`; a different plan that is there may hold edits and is kept under a number.

    Nothing is written if the plan there is the same.
    """
    path = workspace.plan
    if path.exists():
        if _is_same(made, workspace):
            return
        kept = _free_name(path)
        path.rename(kept)
        progress.say(
            f"{path.name} differed from the new plan and was kept as {kept.name}; to go on with "
            f"it, rename it back."
        )
    store.save(made, path)


def this_machine() -> Machine:
    """Return the graphics memory and the CPU cores that this process may use."""
    accelerator = None
    if torch.cuda.is_available():
        accelerator = torch.cuda.get_device_properties(0).total_memory / BYTES_PER_GIB
    elif torch.backends.mps.is_available():
        accelerator = torch.mps.recommended_max_memory() / BYTES_PER_GIB
    return Machine(accelerator_gib=accelerator, cores=default_workers())


def _is_same(made: Plan, workspace: Workspace) -> bool:
    try:
        return load_plan(workspace) == made
    except DocumentError:
        return False


def _free_name(path: Path) -> Path:
    """Return the first of `plan.previous-1.json`, `plan.previous-2.json` … that is free."""
    number = 1
    while (kept := path.with_name(f"{path.stem}.previous-{number}{path.suffix}")).exists():
        number += 1
    return kept
