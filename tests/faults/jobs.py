"""What the server runs: a command of autoseg, and what is needed around it."""

import ctypes
import gc
import os
import shutil
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

STEPS = 12
"""Steps of a training."""

CAPABILITY_VERSION, WRITE_ANYWHERE = 0x20080522, 0b110
"""Source: linux/capability.h: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""

LIBRARIES = ("SimpleITK", "h5py", "matplotlib.pyplot", "pydicom", "rich.console")
LIBRARIES += ("safetensors.torch", "scipy.ndimage", "skimage.io", "tifffile", "zarr")
"""What autoseg imports inside of functions; without blosc2, which starts threads."""


def preload() -> None:
    """Load what commands load, and make them quick: short trainings, no measurements."""
    import torch

    import autoseg
    from autoseg.commands import options, planning
    from autoseg.core.child import EndedProcess
    from autoseg.stages import step_check
    from autoseg.stages.run import run
    from autoseg.stages.train import duration
    from autoseg.training.trial_step import TrialResult

    for module in walk_packages(autoseg.__path__, "autoseg."):
        if not module.name.endswith(("__main__", "timm_encoders")):
            import_module(module.name)
    for name in LIBRARIES:
        import_module(name)
    torch.set_num_threads(1)
    for module in (options, planning):  # else the machine is measured, which takes a minute
        module.cache_folder = lambda _: None
    valid = EndedProcess(0, TrialResult(finding=None).model_dump_json(), "")
    step_check.run_module = lambda *_, **__: valid
    duration.REFERENCE_EPOCHS = STEPS // 4
    run.TrainRequest = partial(run.TrainRequest, checkpoint_seconds=0.0)
    gc.freeze()  # so that forks share the memory of all that is loaded


def command(folder: str, arguments: list[str]) -> None:
    """Run the command line in a folder."""
    from autoseg import cli

    os.chdir(folder)
    sys.argv = ["autoseg", *arguments]
    cli.main()


def command_without_rights(folder: str, arguments: list[str]) -> None:
    """Run the command line as a user who cannot write into read-only folders, as root can."""
    libc = ctypes.CDLL(None)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable; twice 32 capabilities
    libc.capget(header, sets)
    for place in range(3):
        sets[place] &= ~WRITE_ANYWHERE
    assert libc.capset(header, sets) == 0
    command(folder, arguments)


def command_in_c_locale(folder: str, arguments: list[str]) -> None:
    """Run the command line in a new process whose locale is C."""
    os.chdir(folder)
    program = "from autoseg.cli import main; main()"
    environment = {**os.environ, "LC_ALL": "C"}  # noqa: TID251  (of the new process)
    os.execve(sys.executable, [sys.executable, "-c", program, *arguments], environment)


def shrink(work: str) -> None:
    """Give a planned work folder a tiny network, short epochs, and two folds."""
    from pipeline.conftest import tiny

    from autoseg.documents import store
    from autoseg.documents.fingerprint import Fingerprint
    from autoseg.documents.plan import Plan
    from autoseg.documents.splits import Fold, Splits
    from autoseg.documents.workspace import Workspace

    workspace = Workspace(Path(work))
    made = tiny(store.load(Plan, workspace.plan), (8, 16, 16))
    (small,) = made.configurations
    recipe = small.recipe.model_copy(update={"iterations_per_epoch": 4})
    small = small.model_copy(update={"recipe": recipe})
    store.save(made.model_copy(update={"configurations": (small,)}), workspace.plan)
    names = [case.name for case in store.load(Fingerprint, workspace.fingerprint).cases]
    halves = tuple(names[::2]), tuple(names[1::2])
    folds = tuple(
        Fold(train=one, validation=other) for one, other in (halves, tuple(reversed(halves)))
    )
    store.save(Splits(folds=folds, seed=0, reason="halves"), workspace.splits)


def unselect(work: str) -> None:
    """Delete what `autoseg select` and the export of `autoseg run` have made."""
    from autoseg.documents.workspace import Workspace

    workspace = Workspace(Path(work))
    for path in (workspace.selection, workspace.cross_validation, workspace.leaderboard):
        path.unlink(missing_ok=True)
    for path in Path(work).glob("*.autoseg"):
        path.unlink()
    shutil.rmtree(workspace.ensembles, ignore_errors=True)


def write_seeds(world: str, path: str) -> None:
    """Make the valid inputs of `fuzzing`."""
    from faults import inputs, seeds

    made = seeds.make_seeds(Path(world), Path(f"{path}.temporary"))
    inputs.save_seeds(made, Path(path))


def read_seeds(path: str, folder: str) -> None:
    """Read the valid inputs; only labels in JPEG are refused."""
    from faults import fuzzing, inputs

    refused = {}
    for seed in inputs.load_seeds(Path(path)):
        inputs.write_files(seed.files, Path(folder))
        outcome = fuzzing.outcome_of(seed.reading, Path(folder))
        if outcome[0] != "completed" and not seed.name.endswith((".jpg", ".jpeg")):
            refused[seed.name] = outcome
    assert not refused, refused


def read_inputs(*arguments: object) -> None:
    """See `fuzzing`."""
    from faults import fuzzing

    fuzzing.read_inputs(*arguments)


def reduce_input(*arguments: object) -> None:
    """See `reduction`."""
    from faults import reduction

    reduction.reduce_input(*arguments)
