"""The colours that classes have in every picture."""

CLASS_COLOURS = ("#ee7733", "#33bbee", "#009988", "#ee3377", "#0077bb", "#cc3311", "#bbbbbb")
"""Paul Tol's vibrant scheme, which colour-blind readers can tell apart; repeated if need be."""


def class_colour(index: int) -> str:
    """Return the colour of a foreground class or region, counted from 0."""
    return CLASS_COLOURS[index % len(CLASS_COLOURS)]
