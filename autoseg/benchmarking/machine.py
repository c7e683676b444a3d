"""Say where figures were measured, and with what."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from autoseg.core.parallel import default_workers
from autoseg.documents.bench import BenchMachine
from autoseg.documents.versions import Versions

PROCESSORS = Path("/proc/cpuinfo")
"""Where Linux names the processor, which Python's `platform` does not."""


def this_machine(device: torch.device) -> BenchMachine:
    """Return the machine, and what else it is doing now."""
    cuda = device.type == "cuda"
    return BenchMachine(
        processor=_processor(),
        cores=default_workers(),
        memory_gib=_memory_gib(),
        device=torch.cuda.get_device_name(device) if cuda else str(device),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    )


def these_versions() -> Versions:
    """Return the software that measures."""
    return Versions(
        autoseg=version("autoseg"), torch=torch.__version__, python=platform.python_version()
    )


def processor_name(description: str) -> str | None:
    """Return the name of the first processor that Linux's description has; None without one."""
    for line in description.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return None


def _processor() -> str:
    named = processor_name(PROCESSORS.read_text()) if PROCESSORS.is_file() else None
    return named or platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
