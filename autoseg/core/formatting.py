"""Format numbers, durations, counts, shapes, shares and lists of names as text."""

import re
from collections.abc import Iterable, Sequence
from math import ceil
from unicodedata import category

DURATION_UNITS = ((48 * 3600, 86400, "days"), (2 * 3600, 3600, "h"), (120, 60, "min"))
"""Shortest duration in seconds that a unit is used for, seconds per unit, and its name."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Characters that stand for bytes that are not UTF-8."""

DASH = "–"
"""Stands for a value that is unknown or undefined."""


def format_number(value: float | int, digits: int = 4) -> str:
    """Format a number with up to `digits` significant digits; the integer part stays complete."""
    return f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def format_value(value: float | int | None, style: str = ".3f") -> str:
    """Format a number in a style of `format`, and None as a dash."""
    return DASH if value is None else format(value, style)


def format_percent(share: float, digits: int = 2) -> str:
    """Format a fraction as percent with up to `digits` significant digits, e.g. `5 %`."""
    return f"{format_number(100 * share, digits)} %"


def format_shape(sizes: Iterable[float | int]) -> str:
    """Format sizes along all axes, e.g. `12 × 40 × 38`."""
    return " × ".join(map(format_number, sizes))


def format_stages(entries: Iterable[tuple[int, ...]]) -> str:
    """Format one group of digits per stage, e.g. `111 122 222`."""
    return " ".join("".join(map(str, entry)) for entry in entries)


def format_duration(seconds: float) -> str:
    """Format a duration in a suitable unit with up to three significant digits, e.g. `2.5 h`."""
    for shortest, length, unit in DURATION_UNITS:
        if seconds >= shortest:
            return f"{format_number(seconds / length, 3)} {unit}"
    return f"{format_number(seconds, 3)} s"


def format_budget(seconds: float) -> str:
    """Format a duration as a value of `--budget`, rounded up: `45s`, `3m`."""
    return f"{ceil(seconds)}s" if seconds <= 90 else f"{ceil(seconds / 60)}m"


def format_megabytes(num_bytes: int) -> str:
    """Format the size of a file, e.g. `12.3 MB`."""
    return f"{num_bytes / 1e6:.1f} MB"


def format_count(number: int, noun: str) -> str:
    """Format a number with a singular or plural noun, e.g. `1 case` or `4 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_names(names: Sequence[object], most: int = 5) -> str:
    """Format the first names or numbers of a list, e.g. `a, b, c, d, e and 2 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(map(str, names[:most]))}{more}"


def format_lines(lines: Sequence[str], most: int) -> str:
    """Format the first entries of a list, indented and one per line, and the number of others."""
    more = [f"and {len(lines) - most} more"] if len(lines) > most else []
    return "\n".join(f"  {line}" for line in (*lines[:most], *more))


def format_cases(names: Sequence[str]) -> str:
    """Format case names: a single name, or the number of cases with the first three names."""
    return names[0] if len(names) == 1 else f"{len(names)} cases ({format_names(names, 3)})"


def format_folds(folds: Sequence[int | str]) -> str:
    """Format fold numbers, e.g. `fold 2` or `folds 0, 1`."""
    return f"fold{'s' if len(folds) > 1 else ''} {', '.join(map(str, folds))}"


def printable(text: str) -> str:
    r"""Escape characters that could control a terminal, as `\x1b`; except line breaks and tabs.

    Names of channels, classes and models in files from others may contain such characters, and
    those of files also bytes that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char in "\n\t" or char.isprintable() or category(char) == "Zs"
        else char.encode("unicode_escape").decode("ascii")
        for char in escape_bytes(text)
    )


def escape_bytes(text: str) -> str:
    r"""Replace bytes of a file name that are not UTF-8 by escapes, as in `caf\xe9.png`.

    Python has surrogates for them, which cannot be printed or stored in JSON.
    """
    return SURROGATE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)
