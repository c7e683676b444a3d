"""A trained model as one file: how it is written, checked and read."""
