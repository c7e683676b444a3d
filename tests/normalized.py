"""Normalise a whole channel, as preparation does part by part."""

import numpy as np

from autoseg.normalizers import Normalizer
from autoseg.preprocessing.normalized import NormalizedVoxels


def normalized(normalizer: Normalizer, channel: np.ndarray, nonzero: np.ndarray) -> np.ndarray:
    """Return a normalised channel; `nonzero` is the nonzero mask."""
    return NormalizedVoxels.of(channel[None], (normalizer,), nonzero).channel(0)
