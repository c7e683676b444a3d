"""Format numbers for a plan's reasons and tables."""

from collections.abc import Iterable
from math import ceil


def number(value: float | int) -> str:
    """Format a number with up to four significant digits, and numbers from 1000 on in full."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def numbers(values: Iterable[float | int]) -> str:
    """Format numbers as `a × b × c`."""
    return " × ".join(number(value) for value in values)


def percent(share: float) -> str:
    """Format a fraction as whole percent, e.g. `5 %`."""
    return f"{round(100 * share)} %"


def per_stage(entries: Iterable[tuple[int, ...]]) -> str:
    """Format one group of digits per stage, e.g. `111 122 222`."""
    return " ".join("".join(str(size) for size in entry) for entry in entries)


def duration(hours: float) -> str:
    """Format a duration in seconds, minutes, hours or days, depending on its length."""
    if hours * 60 < 1.5:
        return f"{hours * 3600:.0f} seconds"
    if hours < 1:
        return f"{hours * 60:.0f} minutes"
    if hours < 48:
        return f"{hours:.1f} hours"
    return f"{hours / 24:.0f} days"


def time_span(seconds: float) -> str:
    """Format a time as a command-line value, rounded up: `45s`, `3m`."""
    return f"{ceil(seconds)}s" if seconds <= 90 else f"{ceil(seconds / 60)}m"
