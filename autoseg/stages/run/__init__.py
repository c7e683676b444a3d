"""Stage of `autoseg run`: plan, train, select and predict within a time budget."""
