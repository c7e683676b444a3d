"""Describe the machine and the software versions of a benchmark."""

import os
import platform
from importlib.metadata import version

import torch

from autoseg.core.parallel import default_workers
from autoseg.core.processor import processor_name
from autoseg.documents.bench import BenchMachine
from autoseg.documents.versions import Versions


def this_machine(device: torch.device) -> BenchMachine:
    """Describe this machine and its current load."""
    is_cuda = device.type == "cuda"
    has_size = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if has_size else None
    return BenchMachine(
        processor=processor_name(),
        cores=default_workers(),
        memory_gib=memory and memory / 2**30,
        device=torch.cuda.get_device_name(device) if is_cuda else str(device),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def software_versions() -> Versions:
    """Return the versions of autoseg, torch and Python."""
    return Versions(
        autoseg=version("autoseg"), torch=torch.__version__, python=platform.python_version()
    )
