"""Colours of classes in all figures."""

CLASS_COLOURS = ("#ee7733", "#33bbee", "#009988", "#ee3377", "#0077bb", "#cc3311", "#bbbbbb")
"""Paul Tol's vibrant scheme, suitable for colour-blind readers; repeated for more classes."""


def class_colour(index: int) -> str:
    """Return the colour of a foreground class or region, counted from 0."""
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]
