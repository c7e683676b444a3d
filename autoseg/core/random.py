"""Random numbers that depend only on a seed and on their purpose.

There is no global generator. Each draw is identified by its seed and a path of names and integers
(epoch, iteration, sample …), so that it is the same for any number of workers and after any
interruption.
"""

import zlib

import numpy as np


def generator(seed: int, *path: int | str) -> np.random.Generator:
    """Return the generator for one purpose, e.g. `generator(seed, "crop", iteration)`."""
    return np.random.default_rng(derived_seed(seed, *path))


def derived_seed(seed: int, *path: int | str) -> int:
    """Return a 63-bit integer seed for one purpose, for libraries that need one."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path]
    state = np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
