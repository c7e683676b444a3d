"""Sentences for the person at the keyboard."""

from collections.abc import Sequence

SHOWN_NAMES = 3
"""Of many cases, as many are named."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, e.g. `1 case` or `4 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def cases_named(names: Sequence[str]) -> str:
    """Return the name of a case, or of several how many they are and the first few names.

    Args:
        names: At least one.
    """
    if len(names) == 1:
        return names[0]
    more = " …" if len(names) > SHOWN_NAMES else ""
    return f"{len(names)} cases ({', '.join(names[:SHOWN_NAMES])}{more})"


def printable(text: str) -> str:
    """Return text without signs that would steer a terminal; line breaks stay.

    Names in files of others (of channels, classes, models) may hold such signs.
    """
    return "".join(sign for sign in text if sign in "\n\t" or sign.isprintable())
