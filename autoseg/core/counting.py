"""Numbers of things in sentences."""


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, e.g. `1 case` or `4 cases`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
