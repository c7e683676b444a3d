"""`autoseg doctor`: describe this machine and installation, and find what will not work."""

import locale
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import get_args

import torch

from autoseg.core.child import run_module
from autoseg.core.device import Precision, autocast_dtype
from autoseg.core.formatting import printable
from autoseg.core.instructions import UNLIMITED
from autoseg.core.memory import BYTES_PER_GIB, available_memory
from autoseg.core.parallel import default_workers
from autoseg.core.processor import processor_name
from autoseg.training.trial_convolution import ConvolutionRequest, ConvolutionResult

PROGRAM = "autoseg.training.trial_convolution"
"""Module that runs a trial convolution."""

PACKAGES = ("autoseg", "torch", "numpy", "scipy", "SimpleITK", "scikit-image", "blosc2")
"""Packages whose versions matter in a bug report."""

EXTRAS = {
    "dicom": ("pydicom", "python-gdcm", "highdicom"),
    "hdf5": ("h5py",),
    "zarr": ("zarr",),
    "timm": ("timm",),
}
"""Packages of each optional feature."""

VARIABLES = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "ONEDNN_MAX_CPU_ISA", "LD_PRELOAD")
"""Environment variables that change what libraries do."""

LEAST_DISK_GIB = 5.0
"""Free space below which prepared cases of an ordinary dataset may not fit."""

LEAST_SHARED_GIB = 0.25
"""Shared memory below which batches may not pass between processes. Containers often have 64 MiB,
and a batch of 2 patches of 128³ float32 voxels with labels takes 33 MiB."""

LEAST_MEMORY_GIB = 4.0
"""Available memory below which ordinary volumes may not be prepared or trained on."""

FEWEST_OPEN_FILES = 256
"""Limit of open files that worker processes and readers need."""

SHARED_MEMORY = Path("/dev/shm")
"""Folder through which processes exchange batches on Linux."""


@dataclass(frozen=True)
class Diagnosis:
    """What was found about a machine.

    Attributes:
        facts: Pairs of a subject and its description.
        problems: What will not work, and what to do about it.
    """

    facts: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]


def diagnose(folder: Path, cache: Path | None = None) -> Diagnosis:
    """Describe this machine and this installation, and find what will not work.

    Args:
        folder: Folder in which work folders will be written; need not exist.
        cache: Cache folder; None for none.
    """
    facts = [*_software(), *_machine()]
    problems: list[str] = []
    for device in _devices():
        _try_precisions(device, facts, problems)
    _check_memory(facts, problems)
    folders = {
        "work folder": (folder, LEAST_DISK_GIB),
        "temporary files": (Path(tempfile.gettempdir()), LEAST_SHARED_GIB),
    }
    if SHARED_MEMORY.is_dir():
        folders["shared memory"] = SHARED_MEMORY, LEAST_SHARED_GIB
    if cache is not None:
        folders["cache"] = cache, 0.0
    for subject, (place, least) in folders.items():
        _check_folder(subject, place, least, facts, problems)
    _check_limits(facts, problems)
    return Diagnosis(tuple(facts), tuple(problems))


def _software() -> Iterator[tuple[str, str]]:
    yield "versions", ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    for extra, packages in EXTRAS.items():
        found = ", ".join(f"{name} {_version(name)}" for name in packages)
        yield f"extra {extra}", found
    yield "Python", f"{platform.python_version()}, {sys.executable}"
    yield "system", platform.platform()
    yield "text encoding", f"{sys.getfilesystemencoding()}, {locale.getlocale()[0] or 'C locale'}"
    set_ones = {name: os.environ[name] for name in VARIABLES if name in os.environ}  # noqa: TID251
    yield "environment", ", ".join(f"{n}={v}" for n, v in set_ones.items()) or "nothing set"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _machine() -> Iterator[tuple[str, str]]:
    yield "processor", f"{processor_name()}, {default_workers()} usable cores"
    yield "torch", f"CUDA {torch.version.cuda or 'not built in'}, {torch.get_num_threads()} threads"


def _devices() -> Iterator[torch.device]:
    """Yield the devices that torch lists."""
    for index in range(torch.cuda.device_count()):
        yield torch.device("cuda", index)
    if torch.backends.mps.is_available():
        yield torch.device("mps")
    yield torch.device("cpu")


def _try_precisions(
    device: torch.device, facts: list[tuple[str, str]], problems: list[str]
) -> None:
    """Compute a convolution in each precision, and add the results."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        memory = properties.total_memory / BYTES_PER_GIB
        facts.append((str(device), f"{properties.name}, {memory:.1f} GiB"))
    planned = str(autocast_dtype(device)).removeprefix("torch.")
    for precision in get_args(Precision)[1:]:
        request = ConvolutionRequest(device=str(device), precision=precision)
        ended = run_module(PROGRAM, request.model_dump_json(), instructions=UNLIMITED)
        finding, time = ended.crash, ""
        if finding is None and ended.status != 0:
            finding = f"failed ({ended.last_error})"
        if finding is None:
            result = ConvolutionResult.model_validate_json(ended.output.splitlines()[-1])
            finding, time = result.finding, f"correct, {result.milliseconds:.1f} ms"
        default = " (default)" if precision == planned else ""
        facts.append((f"convolution, {device}, {precision}{default}", finding or time))
        if finding is not None and precision in (planned, "float32"):
            problems.append(
                f"A convolution in {precision} on {device} {finding}. Update the driver or torch, "
                "or choose another --device or --precision."
            )


def _check_memory(facts: list[tuple[str, str]], problems: list[str]) -> None:
    memory = available_memory()
    if memory is None:
        return
    facts.append(("memory", str(memory)))
    if memory.available < LEAST_MEMORY_GIB * BYTES_PER_GIB:
        problems.append(
            f"Only {memory}; expected {LEAST_MEMORY_GIB:g} or more. "
            "Close other programs, or raise the limit of the container or job."
        )


def _check_folder(
    subject: str,
    folder: Path,
    least_gib: float,
    facts: list[tuple[str, str]],
    problems: list[str],
) -> None:
    """Add whether a folder can be written to, and its free space."""
    existing = next((one for one in (folder, *folder.parents) if one.is_dir()), Path("/"))
    free = shutil.disk_usage(existing).free / BYTES_PER_GIB
    text = f"{folder}, {free:.1f} GiB free"
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"autoseg")
    except OSError as error:
        problems.append(
            f"The folder of the {subject}, {folder}, is not writable ({error.strerror}). Choose "
            "another one, or change its permissions."
        )
        text += ", not writable"
    if free < least_gib:
        problems.append(
            f"{folder} ({subject}) has {free:.2f} GiB of free space; expected {least_gib:g} or "
            "more. Free some space, or choose another folder."
        )
    facts.append((subject, printable(text)))


def _check_limits(facts: list[tuple[str, str]], problems: list[str]) -> None:
    """Add the limits of this process (not on Windows, which has none of these)."""
    with suppress(ImportError):
        import resource

        limits = {
            "open files": resource.RLIMIT_NOFILE,
            "file size": resource.RLIMIT_FSIZE,
            "address space": resource.RLIMIT_AS,
        }
        found = {name: resource.getrlimit(number)[0] for name, number in limits.items()}
        texts = [
            f"{name} {'unlimited' if limit == resource.RLIM_INFINITY else limit}"
            for name, limit in found.items()
        ]
        facts.append(("limits", ", ".join(texts)))
        if 0 <= found["open files"] < FEWEST_OPEN_FILES:
            problems.append(
                f"Only {found['open files']} open files are allowed; expected {FEWEST_OPEN_FILES} "
                "or more. Raise the limit with `ulimit -n 4096`."
            )
