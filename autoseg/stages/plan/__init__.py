"""Stage of `autoseg plan`: measure a dataset and this machine, and plan."""
