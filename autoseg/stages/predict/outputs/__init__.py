"""Files that `autoseg predict` writes for each case, one module per kind of file."""
