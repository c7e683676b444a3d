"""Stage of `autoseg select`: choose configurations and post-processing by cross-validation."""
