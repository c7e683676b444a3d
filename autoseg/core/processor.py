"""Find the name of the processor."""

import platform
import re
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
"""File in which Linux names its processors; Python's `platform` does not read it."""


def processor_name() -> str:
    """Return the name of the processor, or its architecture if the name is unknown."""
    if CPU_INFO.is_file():
        description = CPU_INFO.read_text(encoding="utf-8", errors="replace")
        if match := re.search(r"^\s*model name\s*:[ \t]*(\S.*)", description, re.MULTILINE):
            return match[1].rstrip()
    return platform.processor() or platform.machine() or "unknown"
