"""Stage of `autoseg predict`: segment images."""
