"""Crop, normalise and resample a case, and undo it for predictions."""
