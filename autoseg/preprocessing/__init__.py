"""Crop, normalise and resample cases, and store them for training."""
