"""Compare segmentations with references."""
