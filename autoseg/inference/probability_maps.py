"""Maps on the original grid, one byte per voxel: probabilities of a class, and their entropy."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from autoseg.inference.averaging import ProbabilityBlock, mean_probabilities
from autoseg.inference.export import cropped_view
from autoseg.inference.probabilities import FULL, Probabilities

ByteMap = UInt8[np.ndarray, "*space"]
"""Values from 0 to 1, multiplied by `FULL`, in canonical axis order."""


def probability_map(members: Sequence[Probabilities], output: int) -> ByteMap:
    """Return the mean probability of one class or region.

    Voxels outside the nonzero crop are background.

    Args:
        members: The probabilities of each configuration for the same image; at least one.
        output: Index of the class or region.

    Raises:
        CaseError: If the members differ in image or label scheme.
    """
    grid = members[0].grid
    is_background = output == 0 and not grid.is_regional
    whole = np.full(grid.restoration.full_shape, FULL if is_background else 0, np.uint8)
    cropped = cropped_view(whole, grid.restoration)
    for block in mean_probabilities(members, [output]):
        means = 0.0 if block.probabilities is None else block.probabilities
        cropped[_box(block)] = np.rint(np.multiply(means, FULL))
    return whole


def entropy_map(members: Sequence[Probabilities]) -> ByteMap:
    """Return the entropy of the mean probabilities, divided by its maximum: from 0 to 1.

    With classes, it is that of all classes divided by the logarithm of their number; with regions,
    the mean over the regions of that of belonging to the region or not, divided by log 2. Voxels
    outside the nonzero crop have none.

    Args:
        members: The probabilities of each configuration for the same image; at least one.

    Raises:
        CaseError: If the members differ in image or label scheme.

    Source: Gal 2016, Uncertainty in Deep Learning, section 3.3.1 (predictive entropy).
    """
    grid = members[0].grid
    whole = np.zeros(grid.restoration.full_shape, np.uint8)
    cropped = cropped_view(whole, grid.restoration)
    greatest = grid.num_outputs * np.log(2) if grid.is_regional else np.log(grid.num_outputs)
    total = np.zeros((0,), np.float32)
    for block in mean_probabilities(members, range(grid.num_outputs)):
        box = _box(block)
        if block.output == 0:
            total = np.zeros(cropped[box].shape, np.float32)
        if block.probabilities is not None:
            total += _surprise(block.probabilities)
            if grid.is_regional:
                total += _surprise(1 - block.probabilities)
        if block.output == grid.num_outputs - 1:
            cropped[box] = np.rint(np.clip(total * (FULL / greatest), 0, FULL))
    return whole


def _box(block: ProbabilityBlock) -> tuple[slice, slice]:
    return slice(*block.planes), slice(*block.rows)


def _surprise(probabilities: np.ndarray) -> np.ndarray:
    """Return -p log p, which is 0 for p = 0."""
    positive = np.maximum(probabilities, np.finfo(np.float32).tiny)
    return np.asarray(-probabilities * np.log(positive))
