"""Find images that are nearly the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

LEAST_CORRELATION = 0.995
"""Least correlation of the block means of near-duplicates."""

LEAST_CENTRED_CORRELATION = 0.95
"""Least correlation of what is left without the mean of all images: images of the same organ are
alike, duplicates are alike in how they differ from the others."""

FEWEST_CENTRED = 8
"""Fewest images whose mean is subtracted."""

ROWS = 512
"""Images that are compared with all others at a time."""


@dataclass(frozen=True)
class Duplicate:
    """Two images that are nearly the same.

    Attributes:
        first: Name of a case.
        second: Name of another case.
        correlation: Correlation of their block means, at most 1.
    """

    first: str
    second: str
    correlation: float


def near_duplicates(
    names: Sequence[str], means: Sequence[Float[np.ndarray, " values"]]
) -> tuple[Duplicate, ...]:
    """Return the pairs of images that are nearly the same, the most similar first.

    Args:
        names: Names of the cases.
        means: Normalised block means of each image; images without any contrast are skipped.
    """
    kept = [place for place, vector in enumerate(means) if np.any(vector)]
    if len(kept) < 2:
        return ()
    vectors = np.stack([means[place] for place in kept]).astype(np.float32)
    centred = _normalised(vectors - vectors.mean(axis=0))
    is_centred = len(kept) >= FEWEST_CENTRED
    found = []
    for start in range(0, len(kept), ROWS):
        rows = slice(start, start + ROWS)
        correlations = vectors[rows] @ vectors.T
        alike = correlations >= LEAST_CORRELATION
        if is_centred:
            alike &= centred[rows] @ centred.T >= LEAST_CENTRED_CORRELATION
        for row, column in np.argwhere(alike).tolist():
            if start + row < column:
                pair = names[kept[start + row]], names[kept[column]]
                found.append(Duplicate(*pair, min(1.0, float(correlations[row, column]))))
    return tuple(sorted(found, key=lambda pair: -pair.correlation))


def _normalised(
    vectors: Float[np.ndarray, "images values"],
) -> Float[np.ndarray, "images values"]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))
