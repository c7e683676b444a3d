"""Format texts for the user."""

from collections.abc import Sequence

MAX_SHOWN_NAMES = 3
"""Maximum number of case names in a list."""


def count_noun(number: int, noun: str) -> str:
    """Format a number with a singular or plural noun, e.g. `1 case` or `4 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def format_case_names(names: Sequence[str]) -> str:
    """Format case names: a single name, or the number of cases with the first few names.

    Args:
        names: At least one name.
    """
    if len(names) == 1:
        return names[0]
    more = " …" if len(names) > MAX_SHOWN_NAMES else ""
    return f"{len(names)} cases ({', '.join(names[:MAX_SHOWN_NAMES])}{more})"


def printable(text: str) -> str:
    """Remove characters that could control a terminal, except line breaks and tabs.

    Names of channels, classes and models in files from others may contain such characters.
    """
    return "".join(char for char in text if char in "\n\t" or char.isprintable())
