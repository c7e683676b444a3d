"""What the processor is called."""

import platform
from pathlib import Path

PROCESSORS = Path("/proc/cpuinfo")
"""Where Linux names its processors, which Python's `platform` does not."""


def processor_name() -> str:
    """Return the name of this machine's processor, or at least of its kind."""
    named = None
    if PROCESSORS.is_file():
        named = first_named(PROCESSORS.read_text(encoding="utf-8", errors="replace"))
    return named or platform.processor() or platform.machine() or "unknown"


def first_named(description: str) -> str | None:
    """Return the name of the first processor that Linux's description has; None without one."""
    for line in description.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return None
