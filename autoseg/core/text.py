"""Sentences for the person at the keyboard."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, e.g. `1 case` or `4 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: str) -> str:
    """Return text without signs that would steer a terminal; line breaks stay.

    Names in files of others (of channels, classes, models) may hold such signs.
    """
    return "".join(sign for sign in text if sign in "\n\t" or sign.isprintable())
