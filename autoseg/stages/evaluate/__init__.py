"""Stage of `autoseg evaluate`: score label maps."""
