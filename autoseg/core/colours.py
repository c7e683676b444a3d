"""Colours of classes in all figures."""

CLASS_COLOURS = ("#ee7733", "#33bbee", "#009988", "#ee3377", "#0077bb", "#cc3311", "#bbbbbb")
"""Paul Tol's vibrant scheme, suitable for colour-blind readers; repeated for more classes."""


def class_colour(index: int) -> str:
    """Return the colour of a foreground class or region, counted from 0."""
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]


def colour_values(colour: str) -> tuple[float, float, float]:
    """Return red, green and blue of a colour such as `#ee7733`, from 0 to 1."""
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    return red, green, blue
