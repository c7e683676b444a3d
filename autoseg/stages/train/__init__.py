"""Stage of `autoseg train`: train a fold and score its held-out cases."""
