"""Random numbers that depend only on a seed and on what they are for.

There is no hidden generator: a draw is named by its seed and a path of integers (epoch, iteration,
sample …), so the same draw comes out on any number of workers and after any interruption.
"""

import zlib

import numpy as np


def generator(seed: int, *path: int | str) -> np.random.Generator:
    """Return the generator for one purpose, e.g. `generator(seed, "crop", iteration)`."""
    return np.random.default_rng(derived_seed(seed, *path))


def derived_seed(seed: int, *path: int | str) -> int:
    """Return a 63-bit seed for one purpose, for libraries that want an integer."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path]
    state = np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
