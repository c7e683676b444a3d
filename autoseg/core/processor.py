"""Find the name of the processor."""

import platform
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
"""File in which Linux names its processors; Python's `platform` does not read it."""


def processor_name() -> str:
    """Return the name of the processor, or its architecture if the name is unknown."""
    name = None
    if CPU_INFO.is_file():
        name = first_model_name(CPU_INFO.read_text(encoding="utf-8", errors="replace"))
    return name or platform.processor() or platform.machine() or "unknown"


def first_model_name(description: str) -> str | None:
    """Return the first model name in the content of `/proc/cpuinfo`; None if it has none."""
    for line in description.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return None
